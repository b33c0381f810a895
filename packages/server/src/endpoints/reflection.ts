import { EventEmitter } from 'node:events';
import { readdir } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MethodDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import { once } from '@muster/shared/memo.js';
import { protoPath as healthProto } from 'grpc-health-check';
import { messageStream } from '../middleware/message-stream.js';
import type { Service } from './endpoint.js';

/** The contract as it is published: the folder `proto` of the distribution, beside `packages`. */
const contract = fileURLToPath(new URL('../../../../proto/', import.meta.url));

/** The versions of grpc.reflection that clients speak. */
const versions = ['v1', 'v1alpha'] as const;

/** The answer to a request, both as bytes. */
type Answer = (request: Buffer) => Buffer;

/**
 * grpc.reflection.v1 and v1alpha for services of the contract, by their full names, and for grpc.health.v1. The contract
 * is read when somebody first asks: most servers are never asked, and agents wait for a server that starts.
 */
export function reflection(services: readonly string[]): readonly Service[] {
  const answers = once(() => readContract(services));
  return versions.map((version) => {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const serverReflectionInfo = messageStream<Buffer, Buffer>((responses) => {
      let onDrained = (): void => undefined;
      return {
        async received(request) {
          try {
            const answer = (await answers()).get(path);
            if (answer === undefined || responses.send(answer(request))) return;
            await new Promise<void>((resolve) => (onDrained = resolve));
          } catch (error) {
            responses.end(error);
          }
        },
        drained: () => onDrained(),
        closed: () => responses.end(),
      };
    });
    return { definition: { serverReflectionInfo: asBytes(path) }, implementation: { serverReflectionInfo } };
  });
}

function asBytes(path: string): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

/** What answers, by the path of the method. The event loop has its turn between the steps. */
async function readContract(services: readonly string[]): Promise<ReadonlyMap<string, Answer>> {
  const { load } = await import('@grpc/proto-loader');
  const { ReflectionService } = await import('@grpc/reflection');
  const files = (await readdir(`${contract}muster/v1`)).map((file) => `muster/v1/${file}`);
  const definitions = await load([...files, healthProto], { includeDirs: [contract] });
  await setImmediate();
  const answers = new Map<string, Answer>();
  const service = new ReflectionService(definitions, { services: [...services, 'grpc.health.v1.Health'] });
  await setImmediate();
  service.addToServer({
    addService(definition, implementation) {
      for (const [name, method] of Object.entries(definition)) {
        const handler = implementation[name];
        if (handler !== undefined) answers.set(method.path, answerOf(method, handler));
      }
    },
  });
  return answers;
}

/** The library's handler answers each request of a stream at once, so that one stream serves all calls. */
function answerOf(method: MethodDefinition<unknown, unknown>, handler: UntypedHandleCall): Answer {
  let answer: Buffer = Buffer.alloc(0);
  const stream = Object.assign(new EventEmitter(), {
    write: (response: unknown) => (answer = method.responseSerialize(response)),
  });
  (handler as (call: EventEmitter) => void)(stream);
  return (request) => {
    stream.emit('data', method.requestDeserialize(request));
    return answer;
  };
}
