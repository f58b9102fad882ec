import { packageTests } from '@orders/dev-stack/vitest';

export default packageTests({ unitSetup: ['./test/helm-setup.ts'] });
