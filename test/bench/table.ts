import { isMet, type Figure } from './measure.js';

/** The figures as a table in Markdown. */
export function table(figures: readonly Figure[]): string {
  const head = ['figure', 'Muster', 'yardstick', 'ratio', 'aim', ''];
  const rows = figures.map((figure) => {
    const { name, unit, muster, yardstick, aim } = figure;
    const aimed =
      aim === undefined
        ? ''
        : `${aim.is === 'at most' ? '≤' : '≥'} ${aim.value.toLocaleString('en')}${aim.of === 'figure' || yardstick === undefined ? ` ${unit}` : ''}`;
    return [
      name,
      `${rounded(muster)} ${unit}`,
      yardstick === undefined ? '' : `${yardstick.name}: ${rounded(yardstick.value)} ${unit}`,
      yardstick === undefined ? '' : yardstick.ratio.toFixed(2),
      aimed,
      verdict(isMet(figure)),
    ];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return '';
  return met ? 'met' : 'not met';
}

function rounded(value: number): string {
  const digits = value >= 100 ? 0 : 1;
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
