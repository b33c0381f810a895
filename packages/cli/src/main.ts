import { run } from './program.js';
import { processTerminal } from './terminal.js';

await run(process.argv.slice(2), processTerminal());
// A connection attempt to a silent peer would keep the process alive: end it once the output is out.
process.stdout.write('', () => process.exit());
