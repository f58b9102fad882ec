import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readReadme } from '@orders/dev-stack/readme';
import { describe, expect, it } from 'vitest';
import * as consumer from '../src/index.ts';
import { settingsOf as kafkajsSettings } from '../src/kafkajs/options.ts';
import { settingsOf } from '../src/options.ts';
import * as testing from '../src/testing.ts';

const { text, snippets, rowsBelow, optionsOf } = readReadme('packages/idempotent-consumer');
const section = 'Options that matter';
const optionsOfConsumer = optionsOf('options.ts', 'ConsumerOptions');
const optionsOfSources = [
  optionsOf('kafkajs/options.ts', 'KafkajsSourceOptions'),
  optionsOf('platformatic.ts', 'PlatformaticSourceOptions'),
];

describe('the README', () => {
  it('has at most 2,000 words', () => {
    expect(text.match(/\S*\w\S*/g)?.length).toBeLessThanOrEqual(2_000);
  });

  it('names no option that does not exist, and those of sources only where both have them', () => {
    const stated = rowsBelow(section).map(([option = '']) => option);
    expect(stated.length).toBeGreaterThan(15);
    const ofBoth = optionsOfSources[0]?.filter((option) => optionsOfSources[1]?.includes(option));
    expect(stated.filter((option) => ![...optionsOfConsumer, ...(ofBoth ?? [])].includes(option))).toEqual(
      [],
    );
  });

  it('states the defaults', () => {
    const decode = () => ({ kind: 'skip' }) as const;
    const settings: Record<string, unknown> = {
      ...kafkajsSettings({ groupId: 'g', topics: ['t'] }),
      ...settingsOf({ consumerName: 'c', decode, handle: () => undefined }, ['t']),
    };
    const stated = rowsBelow(section).filter(([option = '']) => typeof settings[option] === 'number');
    expect(stated.length).toBeGreaterThan(8);
    expect(stated.map(([option, value]) => [option, value])).toEqual(
      stated.map(([option = '']) => [option, (settings[option] as number).toLocaleString('en-US')]),
    );
  });

  it('names no function that does not exist', () => {
    const named = text.match(
      /`(?=[a-z]\w*(?:DeadLetters?|Status|Job|Switch|Twice|At|Contract|Source|Once)\b)\w+/g,
    );
    const names = [...new Set(named?.map((name) => name.slice(1)))];
    const options = [...optionsOfConsumer, 'killSwitch'];
    const known = [...Object.keys(consumer), ...Object.keys(testing), ...options];
    expect(names.length).toBeGreaterThan(8);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\((\.[^)#]+)/g)].map(([, link]) => link as string);
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter((link) => !existsSync(join(import.meta.dirname, '..', link)))).toEqual([]);
  });

  it('has snippets, which the test of the package compiles', () => {
    expect(snippets.length).toBeGreaterThan(4);
  });
});
