import type { ReasonEntry } from './entry.js';

/** The reasons that belong to no single namespace. */
export const coreReasons = {
  INTERNAL: {
    status: 'INTERNAL',
    summary: 'The operation failed inside Muster.',
    remedy: 'Look for the same time and method in the log of the process that answered.',
  },
  ARGUMENT_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'A value in the request is not allowed.',
    remedy: 'Correct the value that the path names.',
  },
  CONFIG_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The configuration is not valid.',
    remedy: 'Correct the value that the path names; the schema is in docs/configuration.md.',
  },
  POLICY_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The policy file is not valid.',
    remedy: 'Correct the value that the path names; the schema is in docs/policy.md.',
  },
  FILE_UNREADABLE: {
    status: 'FAILED_PRECONDITION',
    summary: 'A file cannot be read.',
    remedy: 'Check that the file exists and that this user may read it.',
  },
  FILE_EXISTS: {
    status: 'FAILED_PRECONDITION',
    summary: 'A file is in the way and is not overwritten.',
    remedy: 'Name another file, or move this one away.',
  },
  FILE_UNWRITABLE: {
    status: 'FAILED_PRECONDITION',
    summary: 'A file cannot be written.',
    remedy: 'Check that its folder exists and that this user may write there.',
  },
  PROFILE_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The profile is not valid.',
    remedy: 'Correct the value that the path names; the schema is in docs/cli.md.',
  },
  KEY_FILE_EXPOSED: {
    status: 'FAILED_PRECONDITION',
    summary: 'Others than its owner can read a key file.',
    remedy: 'Take the permission from the others (chmod 600); replace the key if somebody may have read it.',
  },
  AUDIT_CHAIN_BROKEN: {
    status: 'FAILED_PRECONDITION',
    summary: 'The audit log is not what was written: its hash chain is broken.',
    remedy: 'Keep the data directory as it is and compare it with a backup and with exported records.',
  },
  UNAUTHENTICATED: {
    status: 'UNAUTHENTICATED',
    summary: 'The caller presented no certificate of this federation.',
    remedy: 'Call with a client certificate that the federation CA issued.',
  },
  PERMISSION_DENIED: {
    status: 'PERMISSION_DENIED',
    summary: "The caller's role may not call this method.",
    remedy: 'Use a certificate of a role that docs/authorization.md allows.',
  },
  RATE_LIMITED: {
    status: 'RESOURCE_EXHAUSTED',
    summary: 'Too many requests.',
    remedy: 'Wait for the delay that the error carries, then try again.',
  },
  SHUTTING_DOWN: {
    status: 'UNAVAILABLE',
    summary: 'The system is shutting down.',
    remedy: 'Start the server again before you call.',
  },
  LISTEN_FAILED: {
    status: 'UNAVAILABLE',
    summary: 'The server cannot listen on an address of its configuration.',
    remedy: 'Check `listen` in the configuration and that no other process uses the port.',
  },
  SERVER_UNREACHABLE: {
    status: 'UNAVAILABLE',
    summary: 'The server cannot be reached.',
    remedy: 'Check the address, the network and that the server runs.',
  },

  POLICY_PARTICIPANT_UNLISTED: {
    status: 'PERMISSION_DENIED',
    summary: 'The policy has no entry for this participant.',
    remedy:
      'List the participant in the policy, with the namespaces required of it or an explicit exemption.',
  },
  POLICY_RULE_REFUSED: {
    status: 'FAILED_PRECONDITION',
    summary: 'A rule of the policy does not hold for what the evidence says.',
    remedy: 'Compare the claims with the rule that the message names; `muster policy test` shows both.',
  },
  POLICY_RULE_FAILED: {
    status: 'FAILED_PRECONDITION',
    summary: 'A rule of the policy cannot be evaluated over what the evidence says.',
    remedy: 'Try the rule that the message names with `muster policy test`; has() asks for what may lack.',
  },
  ATTESTATION_MISSING: {
    status: 'FAILED_PRECONDITION',
    summary: 'A namespace that the policy requires has no verified token: not meeting CC requirements.',
    remedy: "Look at the participant's last reasons, mend its attester and verify again.",
  },
  ATTESTATION_EXPIRED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The attestation token has expired: not meeting CC requirements.',
    remedy: 'Verify the participant again; if it is connected this happens by itself.',
  },
  ATTESTATION_GENERATION_FAILED: {
    status: 'FAILED_PRECONDITION',
    summary: 'failed to generate CC token',
    remedy: 'Check that the device of this namespace exists and that this process may use it.',
  },
  ATTESTATION_DEVICE_TIMEOUT: {
    status: 'DEADLINE_EXCEEDED',
    summary: 'The attestation device did not answer in time.',
    remedy: 'Check the device and the kernel log of the machine; restart the machine if the device hangs.',
  },
  ATTESTATION_DEFERRED: {
    status: 'UNAVAILABLE',
    summary: 'An endorsement that the appraisal needs could not be had in time.',
    remedy: "Check the way to the vendor's service, or provide the endorsements in the offline directory.",
  },

  TOKEN_MALFORMED: {
    status: 'INVALID_ARGUMENT',
    summary: 'The attestation token is not a well-formed Muster token.',
    remedy: 'Use an agent of the same release as the server.',
  },
  TOKEN_SIGNATURE_INVALID: {
    status: 'PERMISSION_DENIED',
    summary: "The attestation token is not signed by its presenter's key.",
    remedy: 'Present the token with the certificate of the key that signed it.',
  },
  TOKEN_ISSUER_MISMATCH: {
    status: 'PERMISSION_DENIED',
    summary: 'The attestation token belongs to another participant.',
    remedy: 'Each participant presents its own tokens.',
  },
  TOKEN_AUDIENCE_MISMATCH: {
    status: 'PERMISSION_DENIED',
    summary: 'The attestation token is for another audience.',
    remedy: 'Make the token for the trust domain and server that the challenge came from.',
  },
  TOKEN_NONCE_MISMATCH: {
    status: 'PERMISSION_DENIED',
    summary: "The attestation token does not answer the verifier's nonce.",
    remedy: 'Answer the latest challenge with fresh evidence.',
  },
  TOKEN_REPLAYED: {
    status: 'PERMISSION_DENIED',
    summary: 'The challenge was answered before; a token counts once.',
    remedy: 'Wait for the next challenge and answer it with fresh evidence.',
  },
  TOKEN_EXPIRED: {
    status: 'PERMISSION_DENIED',
    summary: 'The attestation token has expired.',
    remedy: "Answer the next challenge; check the participant's clock.",
  },
  TOKEN_NOT_YET_VALID: {
    status: 'PERMISSION_DENIED',
    summary: 'The attestation token was issued in the future.',
    remedy: "Check the participant's clock, or raise clock_leeway in the policy.",
  },
  TOKEN_LIFETIME_EXCESSIVE: {
    status: 'PERMISSION_DENIED',
    summary: 'The attestation token claims a longer life than the policy allows.',
    remedy: "Lower token_lifetime in the agent's configuration, or raise it in the policy.",
  },
  TOKEN_OVERSIZED: {
    status: 'INVALID_ARGUMENT',
    summary: 'The attestation token is larger than 512 KiB.',
    remedy: 'Send evidence of one namespace per token.',
  },
  NAMESPACE_UNKNOWN: {
    status: 'PERMISSION_DENIED',
    summary: 'No verifier knows this namespace.',
    remedy: 'Use a namespace that docs/namespaces lists, with a server and agents of a release that has it.',
  },
  VERIFIER_FAILED: {
    status: 'INTERNAL',
    summary: 'The verifier of this namespace failed, which proves nothing.',
    remedy: 'Report the release and the evidence to the makers of Muster.',
  },
  NAMESPACE_DUPLICATE: {
    status: 'PERMISSION_DENIED',
    summary: 'The same namespace is present more than once.',
    remedy: 'Send one token per namespace.',
  },
  CHALLENGE_UNKNOWN: {
    status: 'FAILED_PRECONDITION',
    summary: 'There is no such challenge: tokens are accepted only as answers.',
    remedy: 'Ask for a challenge and answer it.',
  },
  CHALLENGE_EXPIRED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The challenge was answered too late.',
    remedy: 'Answer the next challenge before its deadline; check the attestation device.',
  },

  JOIN_TOKEN_INVALID: {
    status: 'PERMISSION_DENIED',
    summary: 'The join token is not valid for this name.',
    remedy: 'Ask the operator for a join token for exactly this participant name.',
  },
  JOIN_TOKEN_USED: {
    status: 'PERMISSION_DENIED',
    summary: 'The join token was used before by another key.',
    remedy: 'Ask the operator for a new join token; if nobody of yours used it, tell the operator.',
  },
  JOIN_TOKEN_EXPIRED: {
    status: 'PERMISSION_DENIED',
    summary: 'The join token has expired.',
    remedy: 'Ask the operator for a new join token.',
  },
  TRUST_BUNDLE_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The CA certificates are not those of the trust domain.',
    remedy: 'Use server and agent of compatible releases; if it recurs, distrust the server.',
  },
  CA_ROTATION_STEP: {
    status: 'FAILED_PRECONDITION',
    summary: 'This step of the CA rotation cannot be taken now.',
    remedy: 'Look at `muster-server ca status`; docs/operations.md has the order of steps.',
  },
  CA_ROTATION_WAITING: {
    status: 'FAILED_PRECONDITION',
    summary: 'Some participants or credentials still need the other CA.',
    remedy: 'Wait for them or issue them anew; with --force they are cut off.',
  },
  CREDENTIAL_UNKNOWN: {
    status: 'NOT_FOUND',
    summary: 'No such credential is accepted.',
    remedy: 'Look at `muster-server credential list`.',
  },
  CERTIFICATE_REQUEST_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The certificate request is not acceptable.',
    remedy: 'Sign a PKCS #10 request with the ECDSA P-256 key that the challenge or certificate is for.',
  },
  CERTIFICATE_REVOKED: {
    status: 'UNAUTHENTICATED',
    summary: 'The certificate is no longer accepted.',
    remedy: 'Enrol again with a new join token.',
  },
  CERTIFICATE_SUPERSEDED: {
    status: 'UNAUTHENTICATED',
    summary: 'A later certificate of the same participant is in use.',
    remedy: 'Use the later one; if nobody of yours has it, quarantine the participant.',
  },
  CERTIFICATE_EXPIRED: {
    status: 'UNAUTHENTICATED',
    summary: 'The certificate has expired.',
    remedy: 'Enrol again.',
  },
  CERTIFICATE_NOT_YET_VALID: {
    status: 'UNAUTHENTICATED',
    summary: "The server cannot be reached, and by this site's clock the certificate is of the future.",
    remedy: 'Set the clocks of server and site; the agent enrols again by itself.',
  },
  CERTIFICATE_UNUSABLE: {
    status: 'INTERNAL',
    summary: "The certificate that the server issued does not fit this agent's key and name.",
    remedy: 'Use server and agent of compatible releases; if it recurs, distrust the server.',
  },
  SERVER_IDENTITY_MISMATCH: {
    status: 'UNAUTHENTICATED',
    summary: 'The peer is not the server that this agent trusts.',
    remedy: 'Check the address and the CA hash or bundle; if they are right, somebody is in between.',
  },
  SERVER_UNPROVEN: {
    status: 'FAILED_PRECONDITION',
    summary: "The server has not proven itself to this site's own policy.",
    remedy: "Compare the server's measurement with the agent's policy.",
  },

  PARTICIPANT_UNKNOWN: {
    status: 'NOT_FOUND',
    summary: 'There is no such participant.',
    remedy: 'Check the name with `muster participant list`.',
  },
  PARTICIPANT_NAME_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'A participant name is a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens.',
    remedy: 'Choose another name.',
  },
  PARTICIPANT_NOT_ENROLLED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The participant was invited but has not enrolled.',
    remedy: 'Start its agent with the join token.',
  },
  PARTICIPANT_CLONED: {
    status: 'FAILED_PRECONDITION',
    summary: 'Two agents use the identity of this participant: its virtual machine was cloned.',
    remedy: 'End all copies but one, remove the participant and enrol it again.',
  },
  PARTICIPANT_NOT_ADMISSIBLE: {
    status: 'FAILED_PRECONDITION',
    summary: 'The participant is not meeting CC requirements.',
    remedy: 'Mend what the reasons that follow name, then ask again.',
  },
  PARTICIPANT_QUARANTINED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The participant is quarantined.',
    remedy: 'Mend what its reasons name, then readmit it.',
  },
  PARTICIPANT_SILENT: {
    status: 'FAILED_PRECONDITION',
    summary: 'The participant is silent.',
    remedy: 'Check the machine, its agent and the network to it.',
  },
  PARTICIPANT_REMOVED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The participant was removed from the federation.',
    remedy: 'Make a join token and enrol it again.',
  },

  SESSION_PROTOCOL: {
    status: 'INVALID_ARGUMENT',
    summary: 'The session received a message that its state does not allow.',
    remedy: 'Use agent and server of compatible releases; docs/session.md has the order of messages.',
  },
  SESSION_VERSION: {
    status: 'FAILED_PRECONDITION',
    summary: 'Agent and server have no protocol version in common.',
    remedy: 'Upgrade servers first, then agents.',
  },
  SESSION_FENCED: {
    status: 'ABORTED',
    summary: 'A newer session of the same participant took over.',
    remedy: 'If it was not yours, quarantine the participant: its identity is used twice.',
  },
  LEASE_EXPIRED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The lease could not be renewed in time.',
    remedy: 'Check the network between the site and the server.',
  },

  JOB_UNKNOWN: {
    status: 'NOT_FOUND',
    summary: 'There is no such job.',
    remedy: 'Check the id with `muster job list`.',
  },
  JOB_EXISTS: {
    status: 'ALREADY_EXISTS',
    summary: 'The job id is taken by a different job.',
    remedy: 'Choose another id, or leave it empty.',
  },
  JOB_STATE: {
    status: 'FAILED_PRECONDITION',
    summary: "The job's state does not allow this.",
    remedy: 'Look at the job first; submit or clone it anew if it has ended.',
  },
  JOB_BYOC: {
    status: 'FAILED_PRECONDITION',
    summary: 'BYOC job not allowed for CC: the job brings custom code.',
    remedy: 'Put the code into the measured image, or allow byoc in the policy.',
  },
  JOB_NO_PARTICIPANTS: {
    status: 'INVALID_ARGUMENT',
    summary: 'A job needs at least one participant.',
    remedy: 'Name the sites that shall run it.',
  },
  JOB_NOT_ADMITTED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The job is not admitted at this site.',
    remedy: 'Have the job admitted, then start it again.',
  },
  PERMIT_INVALID: {
    status: 'PERMISSION_DENIED',
    summary: 'The permit is not a valid, unexpired permit of this federation.',
    remedy: 'Admit the job again and use the new permit.',
  },
  JOB_CHECK_TIMEOUT: {
    status: 'DEADLINE_EXCEEDED',
    summary: "The site's own check did not answer in time, which counts as no.",
    remedy: 'Check that the agent is connected, then ask for admission again.',
  },
  JOB_CHECK_REFUSED: {
    status: 'FAILED_PRECONDITION',
    summary: "The site's own check refused the job.",
    remedy: "Compare the site's policy with what the other participants run.",
  },
  JOB_CHECK_INCOMPLETE: {
    status: 'FAILED_PRECONDITION',
    summary: 'The tokens handed to the site do not cover the server and every participant.',
    remedy: 'Admit the job again; if it recurs, distrust the server and tell its operator.',
  },
  JOB_CHECK_INTERRUPTED: {
    status: 'UNAVAILABLE',
    summary: 'The server restarted while the sites were being asked, so their answers are not known.',
    remedy: 'Ask for admission again.',
  },
  JOB_PERMIT_UNUSED: {
    status: 'FAILED_PRECONDITION',
    summary: 'The site had not started the job when its permit expired.',
    remedy: 'Submit or clone the job, and start it at every site soon after it is admitted.',
  },
  JOB_ENDED_BY_FRAMEWORK: {
    status: 'FAILED_PRECONDITION',
    summary: 'The framework reported that the job has ended.',
    remedy: 'Submit or clone the job to run it again.',
  },
  JOB_STOPPED_BY_OPERATOR: {
    status: 'FAILED_PRECONDITION',
    summary: 'An operator or framework stopped the job.',
    remedy: 'Submit or clone the job to run it again.',
  },
  JOB_UNKNOWN_TO_SERVER: {
    status: 'FAILED_PRECONDITION',
    summary: 'The server does not know the job, so the site stopped it.',
    remedy: 'Submit the job again.',
  },
  JOB_SUPERSEDED: {
    status: 'FAILED_PRECONDITION',
    summary: 'A newer generation of the job replaced this one.',
    remedy: 'Use the newer permit.',
  },
  JOB_COMMAND_NOT_FOUND: {
    status: 'INVALID_ARGUMENT',
    summary: 'The command to run cannot be started.',
    remedy: 'Check that the program exists on this machine and may be executed.',
  },
  JOB_STOP_INCOMPLETE: {
    status: 'INTERNAL',
    summary: 'Some process of the job could not be ended.',
    remedy: 'Look for processes in uninterruptible sleep or of another user; restart the machine if need be.',
  },
  JOB_SUPERVISION_LOST: {
    status: 'FAILED_PRECONDITION',
    summary: "The command's supervisor is gone, or its processes cannot be supervised, so they were ended.",
    remedy:
      'Start the command with `muster-agent run`, as the user of the agent, and leave that process alive.',
  },
  AGENT_UNREACHABLE: {
    status: 'UNAVAILABLE',
    summary: 'The agent of this site cannot be reached.',
    remedy: 'Check that the agent runs, that the socket is the right one and that this user may open it.',
  },
  AGENT_RUNNING: {
    status: 'FAILED_PRECONDITION',
    summary: 'Another agent already serves this socket.',
    remedy: 'Stop the other agent, or give this one a socket of its own.',
  },
  OPERATOR_QUARANTINE: {
    status: 'FAILED_PRECONDITION',
    summary: 'An operator quarantined the participant.',
    remedy: 'Ask the operator; readmit it when the cause is mended.',
  },
  OPERATOR_SHUTDOWN: {
    status: 'UNAVAILABLE',
    summary: 'An operator shut the system down.',
    remedy: 'Start the server again.',
  },
  COMMAND_NOT_UNDERSTOOD: {
    status: 'UNIMPLEMENTED',
    summary: 'The agent does not know this command.',
    remedy: 'Upgrade the agent.',
  },
  COMMAND_TIMEOUT: {
    status: 'DEADLINE_EXCEEDED',
    summary: 'The site did not confirm the command in time.',
    remedy: 'Check the machine; its lease ends its jobs in any case.',
  },

  ENDORSEMENT_BUNDLE_INVALID: {
    status: 'INVALID_ARGUMENT',
    summary: 'The file is no bundle of endorsements.',
    remedy: 'Make it anew with muster endorsements export, and copy it unchanged.',
  },
  ENDORSEMENT_UNTRUSTED: {
    status: 'FAILED_PRECONDITION',
    summary: "An endorsement is not vouched for by its vendor's root.",
    remedy:
      'Do not use it; export it anew from a server that you trust, with the certificates of its signer.',
  },
  ENDORSEMENT_EXPIRED: {
    status: 'FAILED_PRECONDITION',
    summary: 'An endorsement is not valid at this time.',
    remedy: 'Export it anew, and check the clock of this machine.',
  },

  STORE_CORRUPT: {
    status: 'INTERNAL',
    summary: 'The database file is damaged. Nothing was changed in it.',
    remedy: 'Restore the data directory from a backup.',
  },
  STORE_FULL: {
    status: 'RESOURCE_EXHAUSTED',
    summary: 'The disk of the data directory is full.',
    remedy: 'Make room on the disk, then start the server again.',
  },
  STORE_NEWER_SCHEMA: {
    status: 'FAILED_PRECONDITION',
    summary: 'The database was written by a newer release.',
    remedy: 'Run the newer release, or restore a backup of the older one.',
  },
  STORE_UNAVAILABLE: {
    status: 'UNAVAILABLE',
    summary: 'The database cannot be used.',
    remedy: 'Check the data directory, its permissions and that no other server uses it.',
  },
} as const satisfies Record<string, ReasonEntry>;
