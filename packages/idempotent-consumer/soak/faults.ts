import { setTimeout as sleep } from 'node:timers/promises';
import type { OwnServer } from '@orders/dev-stack/own-servers';
import { outcomeOf, type Random, type SoakContext, type SoakOutcome } from '@orders/dev-stack/soak';
import { brokenPromises, judge, type Verdict } from './judge.ts';
import type { Client } from './member-process.ts';
import { createWorld, type Member, type Producing, type World } from './world.ts';

/** Short, so that a member that stands still is missed within a case. */
export const membership = { sessionTimeoutMs: 3_000, rebalanceTimeoutMs: 10_000 };

/** A run: members consume while events are produced, something is done to them, and then all is counted. */
export interface Run {
  readonly servers: Parameters<typeof createWorld>[0];
  readonly client: Client;
  readonly eventsPerSecond: number;
  readonly members: number;
  readonly handleMs?: number;
  /** What is done, once the first effects are there. */
  harm(run: Harmed): Promise<void>;
}

/** What can be harmed. */
export interface Harmed {
  readonly world: World;
  /** Those that are meant to run; a case adds and removes. */
  readonly members: Member[];
  readonly producing: Producing;
  addMember(): Member;
  log(line: string): void;
}

/** Runs it, and returns the verdict with what the members said. */
export async function runWith(
  { servers, client, eventsPerSecond, members: count, handleMs = 0, harm }: Run,
  { log, atEnd }: Pick<SoakContext, 'log' | 'atEnd'>,
): Promise<Verdict> {
  const world = await createWorld(servers);
  atEnd(world.close);
  const members: Member[] = [];
  const addMember = () => {
    const member = world.startMember({ client, source: membership, handleMs, failing: 0.01 });
    members.push(member);
    return member;
  };
  for (let i = 0; i < count; i++) addMember();
  const producing = world.produce(eventsPerSecond);
  await firstEffects(world);
  await harm({ world, members, producing, addMember, log });
  const produced = await producing.stop();
  if (members.length === 0) addMember();
  const verdict = await judge(world, produced);
  log(`${verdict.produced} events, ${verdict.effects} effects`);
  return verdict;
}

async function firstEffects(world: World): Promise<void> {
  const untilMs = Date.now() + 60_000;
  while ((await world.effects()) < 10) {
    if (Date.now() > untilMs) throw new Error('no effects within a minute of the start');
    await sleep(100);
  }
}

/** Every two seconds a member joins, leaves in order or is killed. */
export async function storm(
  { members, addMember, log }: Harmed,
  { seconds, random }: { seconds: number; random: Random },
): Promise<void> {
  const untilMs = Date.now() + seconds * 1_000;
  while (Date.now() < untilMs) {
    if (members.length <= 1 || (members.length < 5 && random.chance(0.5))) {
      addMember();
      log('a member joins');
    } else {
      const [member] = members.splice(random.below(members.length), 1);
      const signal = random.chance(0.7) ? 'SIGKILL' : 'SIGTERM';
      log(`a member ends by ${signal}`);
      // One that ends in order finishes what it has in hand, while the others go on.
      void member?.end(signal);
    }
    await sleep(2_000);
  }
}

/** Stops members in the middle of what they do, for longer than their session, and lets them go on. */
export async function stopBeyondSession(
  { members, log }: Harmed,
  { times, random }: { times: number; random: Random },
): Promise<void> {
  for (let i = 0; i < times; i++) {
    const member = random.pick(members);
    member.signal('SIGSTOP');
    log('a member stands still for twice its session');
    await sleep(2 * membership.sessionTimeoutMs);
    member.signal('SIGCONT');
    await sleep(1_500);
  }
}

/** Crashes a server again and again at random moments, many of them in the middle of a COMMIT. */
export async function crash(
  server: Pick<OwnServer, 'kill' | 'start'>,
  { log }: Harmed,
  { times, awayMs, random }: { times: number; awayMs: number; random: Random },
): Promise<void> {
  for (let i = 0; i < times; i++) {
    await sleep(500 + random.below(1_000));
    await server.kill();
    log('the server has crashed');
    await sleep(awayMs);
    await server.start();
    log('the server is back');
    await sleep(2_000 + random.below(1_000));
  }
}

/** The group's offsets are deleted: everything is delivered once more. */
export async function deleteOffsets({ world, members, addMember, log }: Harmed): Promise<void> {
  await Promise.all(members.splice(0).map((member) => member.end('SIGTERM')));
  const admin = world.kafka.admin();
  await admin.connect();
  await admin.deleteGroups([world.groupId]);
  await admin.disconnect();
  log('the group and its offsets are gone');
  addMember();
  addMember();
  await sleep(3_000);
}

/** A verdict as a case's outcome. */
export const outcomeOfVerdict = (verdict: Verdict, figures = {}): SoakOutcome =>
  outcomeOf({ ...figures, ...verdict }, [
    verdict.produced < 100 && `only ${verdict.produced} events were produced`,
    ...brokenPromises(verdict),
  ]);
