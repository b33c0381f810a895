import type { Clock, Timer } from '@muster/shared/clock.js';
import { schedule as scheduleCron } from 'node-cron';

/** Begins to call back again and again; returns the way to end it. */
export type Schedule = (callback: () => void) => () => void;

/** Calls back once in every period. */
export function everyPeriod(clock: Clock, periodMs: number): Schedule {
  return (callback) => {
    let timer: Timer;
    const arm = (): void => {
      timer = clock.schedule(periodMs, () => {
        arm();
        callback();
      });
    };
    arm();
    return () => timer.cancel();
  };
}

/** Calls back when a cron expression says so, on the machine's own clock. */
export function cronSchedule(expression: string): Schedule {
  return (callback) => {
    const task = scheduleCron(expression, callback);
    return () => void task.stop();
  };
}
