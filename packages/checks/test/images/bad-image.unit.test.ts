import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { docker, engineProblem } from '../../src/images/docker.ts';
import { readImage } from '../../src/images/image-facts.ts';
import { planImages } from '../../src/images/image-plan.ts';
import { judgeImage } from '../../src/images/judge-image.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';

const problem = await engineProblem();
const image = `orders-checks-bad:${process.pid}`;

/** From nothing, so that no base is needed: all that an image of order-api must not be. */
const bad = `FROM scratch
COPY files /
ENV PORT=3000
HEALTHCHECK CMD wget localhost:3000
CMD node apps/order-api/src/main.ts
`;

test.skipIf(problem !== undefined)(
  `a bad image is refused${problem ? ` (skipped: ${problem})` : ''}`,
  async () => {
    const dir = scratchDir({
      Dockerfile: bad,
      'files/bin/sh': '',
      'files/app/apps/order-api/test/app.unit.test.ts': '',
      'files/app/packages/dev-stack/package.json': '',
      'files/app/node_modules/.pnpm/vitest@5.1.1/node_modules/vitest/index.js': '',
    });
    await promisify(execFile)('docker', ['build', '--tag', image, dir]);
    try {
      const [plan] = planImages(workspaceRoot);
      const facts = await readImage(image);
      const expected = { version: '1.0.0', revision: 'x', release: true };
      const findings = judgeImage(plan!, facts, expected);
      expect(findings.map(({ rule, message }) => `${rule}: ${message}`)).toEqual(
        expect.arrayContaining([
          'user: the user is "", not "65532:65532"',
          expect.stringContaining('command: the entry point is []'),
          expect.stringContaining('healthcheck: the health check must be run by'),
          expect.stringContaining('ordersctl: '),
          expect.stringContaining('labels: title is ""'),
          expect.stringContaining('base: '),
          'tools: /bin/sh is in it',
          'development: /app/apps/order-api/test/app.unit.test.ts is in it',
          'packages: packages/dev-stack is in it and not needed',
          'dependencies: vitest@5.1.1 is in it and not needed',
        ]),
      );
      expect(facts.environment.PORT).toBe('3000');
    } finally {
      await docker('rmi', image);
    }
  },
);
