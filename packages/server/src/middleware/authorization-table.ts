import type { Role } from '@muster/shared/spiffe.js';

/** Who may call a method. `anonymous` is a caller without a certificate, on the enrolment endpoint. */
export type AllowedRole = Role | 'anonymous';

const everyone: readonly Role[] = ['site', 'server', 'operator', 'framework', 'auditor'];
const people: readonly Role[] = ['operator', 'framework', 'auditor'];
const overseers: readonly Role[] = ['operator', 'auditor'];
const submitters: readonly Role[] = ['operator', 'framework'];

/**
 * The authorization of every method, by its path. A method that is not here is refused to all.
 * docs/authorization.md explains it.
 */
export const authorizationTable: Readonly<Record<string, readonly AllowedRole[]>> = {
  '/muster.v1.EnrollmentService/CreateChallenge': ['anonymous'],
  '/muster.v1.EnrollmentService/Enroll': ['anonymous'],

  '/muster.v1.AgentService/Session': ['site'],
  '/muster.v1.AgentService/GetTokens': ['site'],
  '/muster.v1.AgentService/RenewCertificate': ['site'],

  '/muster.v1.JobService/SubmitJob': submitters,
  '/muster.v1.JobService/CloneJob': submitters,
  '/muster.v1.JobService/AdmitJob': submitters,
  '/muster.v1.JobService/DryRunAdmitJob': submitters,
  '/muster.v1.JobService/ReportJobState': submitters,
  '/muster.v1.JobService/StopJob': submitters,
  '/muster.v1.JobService/GetJob': people,
  '/muster.v1.JobService/ListJobs': people,
  '/muster.v1.JobService/WatchJobs': people,

  '/muster.v1.ParticipantService/ListParticipants': overseers,
  '/muster.v1.ParticipantService/GetParticipant': overseers,
  '/muster.v1.ParticipantService/WatchParticipants': overseers,
  '/muster.v1.ParticipantService/QuarantineParticipant': ['operator'],
  '/muster.v1.ParticipantService/ReadmitParticipant': ['operator'],
  '/muster.v1.ParticipantService/RemoveParticipant': ['operator'],
  '/muster.v1.ParticipantService/CreateJoinToken': ['operator'],

  '/muster.v1.SystemService/GetStatus': overseers,
  '/muster.v1.SystemService/Shutdown': ['operator'],
  '/muster.v1.SystemService/VerifyNow': ['operator'],
  '/muster.v1.SystemService/GetKeys': everyone,
  '/muster.v1.SystemService/ListAuditRecords': overseers,

  '/grpc.health.v1.Health/Check': [...everyone, 'anonymous'],
  '/grpc.health.v1.Health/List': everyone,
  '/grpc.health.v1.Health/Watch': everyone,
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': people,
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': people,
};
