import { expect, it } from '@jest/globals';
import { statement } from '@muster/server/store/statement.js';
import { memoryStore } from '../../support/store.js';

it('builds a statement once, and runs it with the values of each call in their places', async () => {
  let built = 0;
  const put = statement((tx, { key, value }: { readonly key: string; readonly value: string }) => {
    built += 1;
    return tx
      .insertInto('settings')
      .values({ value, key })
      .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }));
  });
  const find = statement((tx, { value }: { readonly value: string }) =>
    tx.selectFrom('settings').select('key').where('value', '=', value).where('key', '!=', 'hidden'),
  );
  const store = await memoryStore();
  const found = await store.transaction(async (tx) => {
    for (const key of ['a', 'b', 'hidden']) await put(tx, { key, value: 'old' });
    await put(tx, { key: 'a', value: 'new' });
    return [(await find(tx, { value: 'old' })).rows, (await find(tx, { value: 'new' })).rows];
  });
  expect(found).toEqual([[{ key: 'b' }], [{ key: 'a' }]]);
  expect(built).toBe(1);
  await store.close();
});
