import { readReadme } from '@orders/dev-stack/readme';
import { describe, expect, it } from 'vitest';
import { relaySettings } from '../src/relay/options.ts';
import { bucketVectors } from './bucket-vectors.ts';

const { snippets, rowsBelow, optionsOf, errorCodes } = readReadme('packages/outbox');

/** Where importers choose: interface, and the file that declares it. */
const optionSources = [
  ['RelayOptions', 'relay/options.ts'],
  ['OutboxOptions', 'outbox.ts'],
  ['KafkajsPublisherOptions', 'kafkajs.ts'],
  ['PlatformaticPublisherOptions', 'platformatic.ts'],
  ['OutboxStatusOptions', 'status.ts'],
  ['PrometheusOptions', 'prometheus.ts'],
] as const;

describe('the README', () => {
  it('lists every option, and none that does not exist', () => {
    const options = optionSources.flatMap(([name, file]) => optionsOf(file, name));
    expect(options.length).toBeGreaterThan(15);
    expect(new Set(rowsBelow('Tuning').map(([option]) => option))).toEqual(new Set(options));
  });

  it("states the relay's defaults", () => {
    const settings: Record<string, unknown> = relaySettings({});
    const stated = rowsBelow('Tuning').filter(([option = '']) => {
      return ['number', 'boolean'].includes(typeof settings[option]);
    });
    expect(stated.length).toBeGreaterThan(8);
    expect(stated.map(([option, value]) => [option, value])).toEqual(
      stated.map(([option = '']) => [option, (settings[option] as number).toLocaleString('en-US')]),
    );
  });

  it('lists every error code, and none that does not exist', () => {
    expect(errorCodes().length).toBeGreaterThan(5);
    expect(
      rowsBelow('Error codes')
        .map(([code]) => code)
        .toSorted(),
    ).toEqual(errorCodes().toSorted());
  });

  it('states the test vectors of the bucket function that are tested', () => {
    const key = (text = '') => ({ '(empty)': '', '`x`, 300 times': 'x'.repeat(300) })[text] ?? text;
    const stated = rowsBelow('Buckets').map(([text, bucket]) => [key(text), Number(bucket)]);
    expect(stated).toEqual(bucketVectors);
  });

  it('has snippets, which the test of the package compiles', () => {
    expect(snippets.length).toBeGreaterThan(1);
  });
});
