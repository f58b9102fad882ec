import { recordSourceContract } from '../src/testing.ts';
import { groupProtocols, openPlatformatic } from './platformatic-fixture.ts';

for (const groupProtocol of groupProtocols) {
  recordSourceContract(`platformaticSource with groupProtocol ${groupProtocol}`, () =>
    openPlatformatic({ groupProtocol }),
  );
}
