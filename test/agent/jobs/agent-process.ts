// The supervising half of an agent as a process of its own: agent-process.js SOCKET JOB. It permits the job at once.
import { serveLocalApi } from '@muster/agent/jobs/local-api.js';
import { JobSupervisor } from '@muster/agent/jobs/supervisor.js';
import { siteStatus, permitFor } from './fixtures.js';

const [socketPath = '', jobId = '', instance = ''] = process.argv.slice(2);
const supervisor = new JobSupervisor({ instance, graceMs: 200 });
if (jobId !== '') supervisor.permit(permitFor(jobId, 1n));
await serveLocalApi({ socketPath, supervisor, status: () => siteStatus });
process.stdout.write('ready\n');
