/** A range of protocol versions, both ends included. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** The versions of the session protocol that this release speaks. */
export const protocolVersions: VersionRange = { min: 1, max: 1 };

/** What a Hello says that its agent speaks. */
interface Offer {
  readonly protocolMin: number;
  readonly protocolMax: number;
}

/** The highest version that both speak; undefined when there is none. */
export function highestCommonVersion(
  { protocolMin, protocolMax }: Offer,
  { min, max }: VersionRange,
): number | undefined {
  const highest = Math.min(protocolMax, max);
  return highest >= Math.max(protocolMin, min) ? highest : undefined;
}
