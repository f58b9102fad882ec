import { readNonsense } from '@orders/dev-stack/nonsense-types';

// Loaded into a service before its own code.
readNonsense();
