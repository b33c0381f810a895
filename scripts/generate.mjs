// Builds the gRPC code of packages/shared/src/gen from proto/ with protoc and ts-proto, both from npm.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules', '.bin', name);
const own = join(root, 'proto');
const google = join(root, 'node_modules', 'google-proto-files');
const out = join(root, 'packages', 'shared', 'src', 'gen');

const protos = readdirSync(own, { recursive: true })
  .filter((file) => file.endsWith('.proto'))
  .map((file) => join(own, file));
const inputs = [
  ...protos,
  join(google, 'google/rpc/status.proto'),
  join(google, 'google/rpc/error_details.proto'),
];

const newest = Math.max(
  ...[...protos, fileURLToPath(import.meta.url), join(root, 'package-lock.json')].map(
    (f) => statSync(f).mtimeMs,
  ),
);
const stamp = join(out, 'muster');
if (statSync(stamp, { throwIfNoEntry: false })?.mtimeMs > newest) process.exit(0);

const options = [
  'env=node',
  'outputServices=grpc-js',
  'esModuleInterop=true',
  'importSuffix=.js',
  'useExactTypes=true',
  'oneof=unions-value',
  'forceLong=bigint',
  'useDate=true',
  'useReadonlyTypes=true',
  'removeEnumPrefix=true',
  'exportCommonSymbols=false',
  'outputJsonMethods=to-only',
  'stringEnums=false',
  'enumsAsLiterals=true',
];
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
execFileSync(
  bin('protoc'),
  [
    `--plugin=protoc-gen-ts_proto=${bin('protoc-gen-ts_proto')}`,
    `--ts_proto_out=${out}`,
    `--ts_proto_opt=${options.join(',')}`,
    `-I${own}`,
    `-I${google}`,
    ...inputs,
  ],
  { stdio: 'inherit' },
);
console.log(`generated ${relative(root, out)} from ${protos.length} files of proto/`);
