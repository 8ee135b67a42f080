/** Why the embedded server was not started: each says what stands in the way, where, and what to do. */
class EmbeddedPostgresError extends Error {
  constructor(name: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = name
  }
}

const OWN_DATABASE = 'Set DATABASE_URL to use a Postgres (15 or newer) of your own'

/** The place of the cluster holds something else. */
export class ForeignDirectory extends EmbeddedPostgresError {
  readonly code = 'FOREIGN_DIRECTORY'
  constructor(path: string, found: string) {
    super(
      'ForeignDirectory',
      `${path} holds ${found}, not a database made by Postrider. It was left as it is. ` +
        'Move it away, or set POSTRIDER_DATA_DIR to another directory.',
    )
  }
}

/** Nothing was ever made there: whoever wants what is in a database looks in the wrong place. */
export class NoDatabase extends EmbeddedPostgresError {
  readonly code = 'NO_DATABASE'
  constructor(dataDir: string) {
    super(
      'NoDatabase',
      `There is no database in ${dataDir}. Give POSTRIDER_DATA_DIR as Postrider itself has it, or put the database back if it was moved away. ` +
        'Where Postrider uses a Postgres of your own, give DATABASE_URL. Nothing was made or changed.',
    )
  }
}

export class WrongMajorVersion extends EmbeddedPostgresError {
  readonly code = 'WRONG_MAJOR_VERSION'
  constructor(path: string, found: string, ours: number) {
    super(
      'WrongMajorVersion',
      `The database in ${path} was made by Postgres ${found}, but this Postrider brings Postgres ${ours}. It was left as it is. ` +
        `Start the Postrider that brings Postgres ${found}, dump the database with pg_dump, and load it into a new data directory.`,
    )
  }
}

export class DataDirectoryNotWritable extends EmbeddedPostgresError {
  readonly code = 'DATA_DIRECTORY_NOT_WRITABLE'
  constructor(path: string, cause: unknown) {
    super(
      'DataDirectoryNotWritable',
      `${path} cannot be written (${(cause as { code?: string }).code ?? 'unknown'}). ` +
        'Make it writable for the user that runs Postrider, or set POSTRIDER_DATA_DIR to a directory that is.',
      cause,
    )
  }
}

export class DiskFull extends EmbeddedPostgresError {
  readonly code = 'DISK_FULL'
  constructor(path: string, cause?: unknown) {
    super(
      'DiskFull',
      `No space is left on the disk of ${path}. Free some: a database that is there goes on where it stopped; ` +
        'a new one needs about 100 MB, and POSTRIDER_DATA_DIR may name a directory on another disk for it.',
      cause,
    )
  }
}

export class NoBinaries extends EmbeddedPostgresError {
  readonly code = 'NO_BINARIES'
  constructor(reason: string, cause?: unknown) {
    super('NoBinaries', `The embedded Postgres cannot run here: ${reason}. ${OWN_DATABASE}.`, cause)
  }
}

export class UserNotPermitted extends EmbeddedPostgresError {
  readonly code = 'USER_NOT_PERMITTED'
  constructor(reason: string) {
    super('UserNotPermitted', `${reason}. ${OWN_DATABASE}.`)
  }
}

/** The server, or the program that makes its cluster, gave up or did not answer in time. */
export class StartFailed extends EmbeddedPostgresError {
  readonly code = 'START_FAILED'
  constructor(what: string, lastWords: string) {
    super('StartFailed', `${what}.${lastWords === '' ? '' : ` Its last words:\n${lastWords}`}`)
  }
}

export class StopFailed extends EmbeddedPostgresError {
  readonly code = 'STOP_FAILED'
  constructor(pid: number) {
    super('StopFailed', `The embedded Postgres (process ${pid}) is still running although it was told to stop at once.`)
  }
}

/** Whether the words of Postgres or its tools, which give no other sign, mean a full disk. The last is its hint on half a page. */
export const saysDiskFull = (words: string) =>
  /No space left on device|Disk quota exceeded|Check free disk space/.test(words)

/** Says a fault of the file system in our words, where we have any. */
export function fileFault(error: unknown, path: string): unknown {
  const { code } = error as { code?: unknown }
  if (code === 'ENOSPC' || code === 'EDQUOT') return new DiskFull(path, error)
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return new DataDirectoryNotWritable(path, error)
  return error
}
