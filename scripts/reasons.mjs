// Prints docs/reasons.md from the catalogue of the built packages/shared, and the reasons of a kind of evidence into each
// page that has a place for them (<!-- reasons: SNP_ -->); with --check, only compares.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { reasonCatalogue } from '@muster/shared/reasons.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const docs = join(root, 'docs');
const catalogue = Object.entries(reasonCatalogue).toSorted(([a], [b]) => a.localeCompare(b));
const place = /(<!-- reasons: (\w+) -->\n)[^]*?(<!-- end of reasons -->)/;

const all = `# Reasons

Every refusal, warning and end of a permission carries one of these codes. They are stable: programs decide on them.
In the errors of an RPC they travel as \`google.rpc.ErrorInfo\` with domain \`muster\`; in answers as
\`muster.v1.Reason\`. This page is printed from the catalogue in \`packages/shared/src/reasons.ts\` by \`make docs\`.

| code | what was found | what to do about it | status of a call |
| --- | --- | --- | --- |
${catalogue.map(([code, { status, summary, remedy }]) => `| \`${code}\` | ${summary} | ${remedy} | \`${status}\` |`).join('\n')}
`;

function reasonsOf(prefix) {
  const rows = catalogue.filter(([code]) => code.startsWith(prefix));
  return `
| code | what was found | what to do about it |
| --- | --- | --- |
${rows.map(([code, { summary, remedy }]) => `| \`${code}\` | ${summary} | ${remedy} |`).join('\n')}

`;
}

async function print(page, text) {
  const printed = await format(text, { ...(await resolveConfig(page)), filepath: page });
  if (!process.argv.includes('--check')) writeFileSync(page, printed);
  else if (readFileSync(page, 'utf8') !== printed) {
    console.error(`${relative(root, page)} differs from the catalogue of reasons: run \`make docs\``);
    process.exitCode = 1;
  }
}

await print(join(docs, 'reasons.md'), all);
for (const name of readdirSync(docs, { recursive: true }).filter((file) => file.endsWith('.md'))) {
  const text = readFileSync(join(docs, name), 'utf8');
  if (!place.test(text)) continue;
  const filled = text.replace(place, (_, begin, prefix, end) => `${begin}${reasonsOf(prefix)}${end}`);
  await print(join(docs, name), filled);
}
