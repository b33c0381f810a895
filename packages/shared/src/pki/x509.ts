import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** The X.509 library, with the polyfill that it wants loaded first, on Node's own cryptography. */
x509.cryptoProvider.set(webcrypto as never);

export { x509 };
