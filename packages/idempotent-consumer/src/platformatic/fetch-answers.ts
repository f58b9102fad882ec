import type { RecordSink } from '../source.ts';
import type { FetchResponse } from './client.ts';
import { isUnreadable, protocolCodes } from './client-errors.ts';
import { TooLargeError } from './decompression.ts';
import { keyOf, type Requested } from './fetch-requests.ts';
import { recordsOf } from './records.ts';

/** What becomes of a fetch. Both say whether the metadata may be stale, which most failures come from. */
export interface FetchAnswers {
  take(answer: FetchResponse, requested: Requested): boolean;
  failed(error: unknown, requested: Requested): boolean;
}

const offsetOutOfRange = 1;

/** Gives each lane what a fetch has brought it. */
export function createFetchAnswers(sink: RecordSink, groupId: string): FetchAnswers {
  function take(answer: FetchResponse, requested: Requested): boolean {
    let isMetadataStale = false;
    const silent = new Map(requested);
    for (const { topicId, partitions } of answer.responses) {
      for (const fetched of partitions) {
        const { lane, offset } = requested.get(keyOf(topicId, fetched.partitionIndex)) ?? {};
        if (lane === undefined || offset === undefined) continue;
        silent.delete(keyOf(topicId, fetched.partitionIndex));
        if (fetched.errorCode === 0) lane.receive(recordsOf(fetched, lane.topic, offset), offset);
        else if (fetched.errorCode === offsetOutOfRange) lane.outOfRange(offset);
        else {
          isMetadataStale = true;
          lane.fail();
          const { topic, partition } = lane;
          const fields = { groupId, topic, partition, errorCode: fetched.errorCode };
          sink.logger.warn(fields, 'a partition could not be fetched');
        }
      }
    }
    for (const { lane, offset } of silent.values()) lane.receive(undefined, offset);
    return isMetadataStale;
  }

  function failed(error: unknown, requested: Requested): boolean {
    const codes = protocolCodes(error);
    // After an answer that was lost. The client has begun another session by now.
    if (codes.has('INVALID_FETCH_SESSION_EPOCH') || codes.has('FETCH_SESSION_ID_NOT_FOUND')) return false;
    const all = [...requested.values()];
    if (isUnreadable(error)) return unreadable(error, all);
    for (const { lane } of all) lane.fail();
    sink.logger.warn({ groupId, partitions: all.length, err: error }, 'records could not be fetched');
    return true;
  }

  /** Which of the partitions it is shows when each is fetched alone, batch by batch. */
  function unreadable(
    error: unknown,
    all: Requested extends Map<string, infer One> ? One[] : never,
  ): boolean {
    const [only] = all;
    const isKnown = all.length === 1 && only?.lane.isFetchedAlone === true;
    for (const { lane } of all) lane.isFetchedAlone = true;
    if (!isKnown) return false;
    only.lane.fail();
    // It may be read when other records, which are held now, are dealt with.
    if (error instanceof TooLargeError && error.isForNow) return false;
    const { topic, partition } = only.lane;
    sink.count('unreadableBatches');
    sink.logger.error(
      { groupId, topic, partition, offset: String(only.offset), err: error },
      'the batch at this offset cannot be read: its partition waits. Raise the limit that the error names, or update the client; to give the records up, set the offset of the group behind them',
    );
    return false;
  }

  return { take, failed };
}

/** The client throws an answer away that tells of an error in some partitions: it is in the error. */
export function answerIn(error: { response?: FetchResponse }): FetchResponse {
  if (error.response?.errorCode === 0 && error.response.responses.length > 0) return error.response;
  throw error;
}
