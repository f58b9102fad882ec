import { asError } from './errors.ts';
import { type Logger, silentLogger } from './logger.ts';
import { type Counter, type Gauge, type Histogram, noMetrics, type RelayMetrics } from './metrics.ts';

/** Calls what only observes; it can be wrong in any way, and nothing else may notice. */
function observe(call: () => unknown, tell: (err: Error) => void): void {
  try {
    const answer = call();
    if (answer instanceof Promise) answer.catch((thrown) => tell(asError(thrown)));
  } catch (thrown) {
    tell(asError(thrown));
  }
}

/** A caller's logger, or none, whose functions never throw: the first time that they would is a warning of the process. */
export function harmlessLogger(logger: Logger = silentLogger): Logger {
  let isTold = false;
  const tell = ({ message }: Error) => {
    if (isTold) return;
    isTold = true;
    process.emitWarning(`the outbox's logger threw, which is not told again: ${message}`);
  };
  const at = (level: keyof Logger) => (fields: object, message: string) =>
    observe(() => logger[level](fields, message), tell);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A caller's metrics, or none, that never throw: the first time that one would is logged. */
export function harmlessMetrics(logger: Logger, metrics: RelayMetrics = noMetrics): RelayMetrics {
  const told = new Set<string>();
  function harmless(metric: keyof RelayMetrics): Counter & Gauge & Histogram {
    const tell = (err: Error) => {
      if (told.has(metric)) return;
      told.add(metric);
      logger.error({ metric, err }, 'relay: a metric threw, which is not told again');
    };
    const via = (method: 'inc' | 'set' | 'observe') => (value: number) =>
      observe(() => (metrics[metric] as Counter & Gauge & Histogram)[method](value), tell);
    return { inc: via('inc'), set: via('set'), observe: via('observe') };
  }
  const names = Object.keys(noMetrics) as (keyof RelayMetrics)[];
  return Object.fromEntries(names.map((name) => [name, harmless(name)])) as unknown as RelayMetrics;
}
