import { describe, expect, it } from '@jest/globals';
import { isSignedByPss384, parseCertificate, parseCrl } from '@muster/shared/evidence/x509.js';
import { revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { snpCase, verdict } from '../../support/snp-case.js';
import { intelCrl, intelHierarchy } from '../../support/tdx-builder.js';
import { tdxCase } from '../../support/tdx-case.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';

const { ark, ask } = snpHierarchy();

describe('what is remembered of certificates and lists', () => {
  it('is read once', () => {
    expect(parseCertificate(ark.certificate)).toBe(parseCertificate(Uint8Array.from(ark.certificate)));
    const list = revocationList(snpHierarchy());
    expect(parseCrl(list)).toBe(parseCrl(Uint8Array.from(list)));
  });

  it('does not follow a caller who changes the bytes afterwards', () => {
    const der = Uint8Array.from(ask.certificate);
    const issuer = parseCertificate(ark.certificate);
    const first = parseCertificate(der);
    if (first === undefined || issuer === undefined) throw new Error('not readable');
    der.fill(0, der.length - 40);
    expect(isSignedByPss384(first.signed, issuer.publicKey)).toBe(true);
    const changed = parseCertificate(der);
    expect(changed === undefined || !isSignedByPss384(changed.signed, issuer.publicKey)).toBe(true);
  });

  it('never says yes for another key', () => {
    const child = parseCertificate(ask.certificate);
    const issuer = parseCertificate(ark.certificate);
    const other = parseCertificate(snpHierarchy({ keySet: 'another' }).ark.certificate);
    if (child === undefined || issuer === undefined || other === undefined) throw new Error('not readable');
    expect(isSignedByPss384(child.signed, issuer.publicKey)).toBe(true);
    expect(isSignedByPss384(child.signed, other.publicKey)).toBe(false);
    expect(isSignedByPss384(child.signed, issuer.publicKey)).toBe(true);
  });

  it('leaves times and revocation of a TDX platform to every appraisal', () => {
    const input = tdxCase();
    const appraise = (changes: Partial<typeof input>): string =>
      verdict(tdxVerifier.appraise({ ...input, ...changes }));
    expect(appraise({})).toBe('affirming');
    expect(appraise({ at: new Date('2026-03-01T00:00:00Z') })).toContain('TDX_COLLATERAL_EXPIRED');
    const { root, pckCa } = intelHierarchy();
    const foreign = { ...input.endorsements, crls: [intelCrl(root), intelCrl(pckCa)] };
    expect(appraise({ endorsements: foreign })).toContain('TDX_CRL_SIGNATURE');
    expect(appraise({ endorsements: { ...input.endorsements, crls: [] } })).toContain('TDX_CRL_MISSING');
    expect(appraise({})).toBe('affirming');
  });

  it('leaves the time to every appraisal', async () => {
    const input = snpCase();
    expect((await snpVerifier.appraise(input)).status).toBe('affirming');
    const late = await snpVerifier.appraise({ ...input, at: new Date('2090-01-01T00:00:00Z') });
    expect(late.status).toBe('contraindicated');
    expect((await snpVerifier.appraise(input)).status).toBe('affirming');
  });
});
