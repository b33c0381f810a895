import { refusal } from '@muster/shared/errors.js';
import { authorizationTable, type AllowedRole } from './authorization-table.js';

/** Refuses a method to a role that the table does not allow it. Errors: PERMISSION_DENIED. */
export function authorize(path: string, role: AllowedRole): void {
  const allowed = Object.hasOwn(authorizationTable, path) ? authorizationTable[path] : undefined;
  if (allowed?.includes(role) === true) return;
  throw refusal('PERMISSION_DENIED', { message: `The role ${role} may not call ${path}.` });
}
