import { version } from '@muster/shared/version.js';

export { version };
