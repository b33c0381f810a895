import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoopDelay, Usage } from './hosts/host.js';

/** A process under test. */
export interface Worker {
  /** Has it carry out one of its commands. */
  ask<Result>(name: string, argument?: unknown): Promise<Result>;
  /** What it has used so far; `settled` collects garbage before. */
  usage(settled?: boolean): Promise<Usage>;
  /** How late its event loop was since the last call. */
  loopDelay(): Promise<LoopDelay>;
  /** CPU time that it uses while work is done, µs. */
  cpuOf(work: () => Promise<unknown>): Promise<number>;
  kill(): Promise<void>;
}

/** Starts a program of `hosts` in a process of its own. `MUSTER_BENCH_PROFILE` names a folder for CPU profiles. */
export function startWorker(program: 'muster' | 'http2' | 'grpc' | 'tcp' | 'verification'): Worker {
  const profiles = process.env['MUSTER_BENCH_PROFILE'];
  const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}/${program}`];
  const child = fork(fileURLToPath(new URL(`./hosts/${program}.js`, import.meta.url)), {
    execArgv: ['--expose-gc', ...profiling],
    serialization: 'advanced',
  });
  const pending = new Map<
    number,
    { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }
  >();
  let last = 0;
  child.on('message', ({ id, result, error }: { id: number; result: never; error?: string }) => {
    const call = pending.get(id);
    pending.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      for (const call of pending.values()) call.reject(new Error(`${program} has ended`));
      resolve();
    });
  });
  const ask = <Result>(name: string, argument?: unknown): Promise<Result> =>
    new Promise((resolve, reject) => {
      last += 1;
      pending.set(last, { resolve, reject });
      child.send({ id: last, name, argument });
    });
  const usage = (settled = false): Promise<Usage> => ask('usage', settled);
  return {
    ask,
    usage,
    loopDelay: () => ask('loopDelay'),
    async cpuOf(work) {
      const before = await usage();
      await work();
      return (await usage()).cpuUs - before.cpuUs;
    },
    async kill() {
      // An orderly end writes the profile; a server that is measured is killed as a crash would.
      if (profiles === undefined) child.kill('SIGKILL');
      else child.disconnect();
      await ended;
    },
  };
}
