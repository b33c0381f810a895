import { isIPv6 } from 'node:net';

const groupsOfAddress = 8;
const groupsOfNetwork = 4;

/**
 * What limits by address count: an IPv4 address itself, also one that is written as IPv6, and of any other IPv6 address
 * its /64 network, all of which one host may use (RFC 4291, section 2.5.4). Anything else is returned as it is.
 */
export function networkOf(address: string): string {
  const [unscoped = ''] = address.split('%');
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(unscoped) ?? [];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(unscoped)) return address;
  const [head = '', tail] = unscoped.toLowerCase().split('::');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  const zeros = Array.from({ length: groupsOfAddress - before.length - after.length }, () => '0');
  const groups = [...before, ...zeros, ...after].slice(0, groupsOfNetwork);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

/** The 16-bit groups; a dotted ending has two, whose value does not matter for the network. */
function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]));
}
