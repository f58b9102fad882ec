import { packageTests } from '@orders/dev-stack/vitest';

export default packageTests();
