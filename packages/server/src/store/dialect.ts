import { memoized } from '@muster/shared/memo.js';
import { Pace } from '@muster/shared/pace.js';
import type Database from 'libsql';
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  type DatabaseConnection,
  type DialectAdapter,
  type Driver,
  type SqliteStatement,
} from 'kysely';

/** How many prepared statements are kept. */
const maxStatements = 256;

/** kysely over one libsql connection, whose transactions take the write lock at their beginning. */
export class LibsqlDialect extends SqliteDialect {
  readonly #database: Database.Database;
  readonly #pace: Pace;

  constructor(database: Database.Database, pace = new Pace()) {
    super({ database });
    this.#database = database;
    this.#pace = pace;
  }

  override createDriver(): Driver {
    return new ImmediateDriver(this.#database, this.#pace);
  }

  override createAdapter(): DialectAdapter {
    return new TransactionalAdapter();
  }
}

/** SQLite rolls changes of the schema back, too, so a migration that is interrupted leaves nothing behind. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/**
 * A transaction that begins as a reader and then writes fails when another process has written in between, so each
 * begins as the writer. A statement that SQLite answers by rolling back, such as one on a full disk, leaves nothing to
 * roll back.
 */
class ImmediateDriver extends SqliteDriver {
  readonly #database: Database.Database;
  readonly #pace: Pace;

  constructor(database: Database.Database, pace: Pace) {
    const prepare = memoized((text: string) => prepared(database, text), {
      keyOf: (text) => text,
      maxEntries: maxStatements,
    });
    super({ database: { prepare, close: () => void database.close() } });
    this.#database = database;
    this.#pace = pace;
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    return {
      executeQuery: async (query) => {
        await this.#pace.step();
        return connection.executeQuery(query);
      },
      streamQuery: (query, chunkSize) => connection.streamQuery(query, chunkSize),
    };
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#database.inTransaction) await super.rollbackTransaction(connection);
  }
}

/** A prepared statement that knows whether it returns rows without asking the library each time. */
function prepared(database: Database.Database, text: string): SqliteStatement {
  const statement = database.prepare(text);
  return {
    reader: statement.reader,
    all: (parameters) => statement.all(parameters),
    run: (parameters) => statement.run(parameters),
    iterate: (parameters) => statement.iterate(parameters),
  };
}
