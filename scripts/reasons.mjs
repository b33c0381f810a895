// Prints docs/reasons.md from the catalogue of the built packages/shared; with --check, only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { reasonCatalogue } from '@muster/shared/reasons.js';

const page = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs', 'reasons.md');
const rows = Object.entries(reasonCatalogue)
  .toSorted(([a], [b]) => a.localeCompare(b))
  .map(([code, { status, summary, remedy }]) => `| \`${code}\` | ${summary} | ${remedy} | \`${status}\` |`);
const text = `# Reasons

Every refusal, warning and end of a permission carries one of these codes. They are stable: programs decide on them.
In the errors of an RPC they travel as \`google.rpc.ErrorInfo\` with domain \`muster\`; in answers as
\`muster.v1.Reason\`. This page is printed from the catalogue in \`packages/shared/src/reasons.ts\` by \`make docs\`.

| code | what was found | what to do about it | status of a call |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
const printed = await format(text, { ...(await resolveConfig(page)), filepath: page });

if (!process.argv.includes('--check')) writeFileSync(page, printed);
else if (readFileSync(page, 'utf8') !== printed) {
  console.error('docs/reasons.md differs from the catalogue: run `make docs`');
  process.exit(1);
}
