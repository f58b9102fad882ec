import { setTimeout as sleep } from 'node:timers/promises';
import type {
  FetchedPartition,
  FetchRequest,
  FetchResponse,
  RequestedTopic,
  TappedBroker,
} from './cluster-tap.ts';
import { type Decoding, decodings, newDecoding, type Unreadable } from './decoding.ts';
import type { Lanes } from './lanes.ts';
import type { Member, Membership } from './membership.ts';
import type { Standing } from './standing.ts';

/** A partition and the offset from which it is asked for. */
export interface FetchPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

interface FetchingContext {
  readonly lanes: Lanes;
  readonly membership: Membership;
  readonly standing: Standing;
  readonly ending: AbortSignal;
  readonly decompressedBytesMax: number;
  onOutOfRange(place: FetchPlace): Promise<void>;
  /** A fetch came back, or failed. */
  onFetch(succeeded: boolean): void;
}

/** What kafkajs fetches goes through here. */
export interface Fetching {
  fetch(request: FetchRequest, original: TappedBroker['fetch']): Promise<FetchResponse>;
  /** The generation under which a batch was fetched; undefined for one that did not come through `fetch`. */
  memberAtFetch(batch: object): Member | undefined;
}

const nothing: FetchResponse = { responses: [] };
/** While a partition is busy a fetch of the others is not to keep it waiting for long. */
const busyWaitMs = 50;

/** See {@link Fetching}. */
export function createFetching(context: FetchingContext): Fetching {
  const { lanes, membership, standing, ending } = context;
  const members = new WeakMap<object, Member>();

  async function fetch(request: FetchRequest, original: TappedBroker['fetch']): Promise<FetchResponse> {
    const member = membership.current();
    const failure = lanes.takeFailure();
    if (failure !== undefined) throw failure.error;
    if (ending.aborted || member === undefined) {
      await sleep(busyWaitMs);
      return nothing;
    }
    const free = chosen(request.topics, (topic, one) => {
      return !lanes.isBusy(topic, one.partition) && !standing.has(topic, one.partition);
    });
    const open = chosen(free, (topic, one) => !lanes.isPast(topic, one.partition, one.fetchOffset));
    const [suspect] = placesOf(chosen(open, (topic, one) => standing.isSuspect(topic, one.partition)));
    if (open.length === 0) {
      if (free.length > 0) return nothing;
      if (lanes.anyBusy()) await lanes.untilFree(request.maxWaitTime);
      else await sleep(request.maxWaitTime);
      return nothing;
    }
    const topics = suspect === undefined ? open : alone(suspect);
    const waitMs = suspect !== undefined ? 0 : lanes.anyBusy() ? busyWaitMs : request.maxWaitTime;
    const before = new Map(
      placesOf(topics).map((place) => [keyOf(place), lanes.changes(place.topic, place.partition)]),
    );
    const response = await read({ ...request, topics, maxWaitTime: waitMs }, original);
    // What was asked for under another generation, or before a partition got busy, comes again to whom it belongs.
    if (membership.current() !== member) return nothing;
    const isSame = (topic: string, partition: number) =>
      before.get(keyOf({ topic, partition })) === lanes.changes(topic, partition);
    return keeping(response, (topic, one) => {
      members.set(one.messages, member);
      return isSame(topic, one.partition);
    });
  }

  async function read(request: FetchRequest, original: TappedBroker['fetch']): Promise<FetchResponse> {
    const decoding = newDecoding(context.decompressedBytesMax);
    try {
      const response = await decodings.run(decoding, () => original(request));
      context.onFetch(true);
      review(standing, request, response, decoding);
      return response;
    } catch (error) {
      const place = outOfRange(error, request);
      if (place !== undefined) {
        await context.onOutOfRange(place);
        context.onFetch(true);
        return nothing;
      }
      if (isOfTransport(error)) {
        context.onFetch(false);
        throw error;
      }
      // kafkajs could not decode the answer.
      context.onFetch(true);
      review(standing, request, nothing, decoding, { error });
      return nothing;
    }
  }

  return {
    fetch,
    memberAtFetch: (batch) => {
      const { rawMessages } = batch as { rawMessages?: object };
      return rawMessages === undefined ? membership.current() : members.get(rawMessages);
    },
  };
}

/** Finds out which partition it is that could not be read: one that was fetched by itself, or else one of these. */
function review(
  standing: Standing,
  request: FetchRequest,
  response: FetchResponse,
  decoding: Decoding,
  thrown?: Unreadable,
): void {
  const places = placesOf(request.topics);
  const unreadable = thrown ?? decoding.unreadable;
  const [only] = places;
  for (const { topic, partition, offset } of places) {
    const hasRecords = messagesOf(response, topic, partition) > 0;
    if (hasRecords || (unreadable === undefined && !decoding.postponed)) {
      if (hasRecords || places.length === 1) standing.clear(topic, partition);
    } else if (unreadable !== undefined && places.length === 1 && only !== undefined) {
      standing.stand(topic, partition, offset, unreadable);
    } else standing.suspect(topic, partition);
  }
}

const keyOf = ({ topic, partition }: { topic: string; partition: number }) => `${partition} ${topic}`;

function placesOf(topics: readonly RequestedTopic[]): FetchPlace[] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, fetchOffset }) => ({ topic, partition, offset: fetchOffset })),
  );
}

function chosen(
  topics: readonly RequestedTopic[],
  isChosen: (topic: string, one: RequestedTopic['partitions'][number]) => boolean,
): RequestedTopic[] {
  return topics
    .map(({ topic, partitions }) => ({ topic, partitions: partitions.filter((one) => isChosen(topic, one)) }))
    .filter(({ partitions }) => partitions.length > 0);
}

/** A broker returns the first batch whole, however large it is, and then no further one. */
const alone = ({ topic, partition, offset }: FetchPlace): RequestedTopic[] => [
  { topic, partitions: [{ partition, fetchOffset: offset, maxBytes: 1 }] },
];

function keeping(
  response: FetchResponse,
  isKept: (topic: string, one: FetchedPartition) => boolean,
): FetchResponse {
  return {
    ...response,
    responses: response.responses.map((one) => ({
      ...one,
      partitions: one.partitions.filter((partition) => isKept(one.topicName, partition)),
    })),
  };
}

function messagesOf(response: FetchResponse, topic: string, partition: number): number {
  let count = 0;
  for (const { topicName, partitions } of response.responses) {
    for (const one of partitions) {
      if (topicName === topic && one.partition === partition) count += one.messages.length;
    }
  }
  return count;
}

function outOfRange(error: unknown, request: FetchRequest): FetchPlace | undefined {
  const { name, topic, partition } = error as { name?: string; topic?: string; partition?: number };
  if (name !== 'KafkaJSOffsetOutOfRange') return undefined;
  return placesOf(request.topics).find((one) => one.topic === topic && one.partition === partition);
}

/** Errors of connections and of the protocol, which kafkajs knows how to deal with; anything else came from decoding. */
function isOfTransport(error: unknown): boolean {
  const { name, type, syscall } = error as { name?: string; type?: unknown; syscall?: unknown };
  if (typeof type === 'string' || syscall !== undefined) return true;
  return /^KafkaJS.*(Connection|Timeout|SASL|Broker|ServerDoesNotSupport|Metadata|Coordinator)/.test(
    name ?? '',
  );
}
