import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';

const samplingIntervalUs = 500;

/** Begins a CPU profile of this thread. @returns ends it and writes the file, which Chrome's developer tools open */
export function startProfile(file: string): () => undefined {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: samplingIntervalUs });
  session.post('Profiler.start');
  return () => {
    session.post('Profiler.stop', (error, result) => {
      if (error) throw error;
      writeFileSync(file, JSON.stringify(result.profile));
    });
  };
}
