import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath as healthProto } from 'grpc-health-check';

/** The contract as it is published: the folder `proto` of the distribution, beside `packages`. */
const contract = fileURLToPath(new URL('../../../../proto/', import.meta.url));

/** grpc.reflection.v1 and v1alpha for services of the contract, by their full names, and for grpc.health.v1. */
export function reflection(services: readonly string[]): ReflectionService {
  const files = readdirSync(`${contract}muster/v1`).map((file) => `muster/v1/${file}`);
  const definitions = loadSync([...files, healthProto], { includeDirs: [contract] });
  return new ReflectionService(definitions, { services: [...services, 'grpc.health.v1.Health'] });
}
