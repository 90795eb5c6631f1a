/** A field of the window that asks for secrets. */
export interface SecretInfo {
  /** What the person reads before the field; without one, the name of the secret. */
  label?: string;
  /** `text` (the default), `password`, `url` or `email`. */
  field_type?: FieldType;
  /** Whether the window stays open until there is an answer; `false` by default. */
  required?: boolean;
  /** What stands in the field at first; refused for a password. */
  default?: string;
  placeholder?: string;
  help_text?: string;
}

/** Any string, so that a plain `const` of the fields is one; others than these four are refused. */
export type FieldType = 'text' | 'password' | 'url' | 'email' | (string & {});

/** The fields of secrets, by the secrets' names. */
export type SecretsInfo = Readonly<Record<string, SecretInfo>>;

/**
 * What is needed of a framework: a way to say something and a way to ask the person. The context that
 * FastMCP for TypeScript gives to `execute` is one.
 */
export interface SecretsContext {
  info?(text: string): unknown;
  log?: { info(text: string): unknown };
  /** Without it, nobody can be asked through the client. */
  elicit?(
    params: { message: string; requestedSchema: ElicitSchema },
    options?: { signal?: AbortSignal; timeout?: number },
  ): Promise<{ action: string; content?: Record<string, unknown> | undefined }>;
  /** Aborted when the call is cancelled or its client has left: the window is closed, nothing is stored. */
  signal?: AbortSignal;
}

export interface ElicitSchema {
  type: 'object';
  properties: Record<string, { type: 'string'; title: string; enum: string[] }>;
  required?: string[];
}

/** The secrets of one MCP server, in the system's keychain. */
export class MCPSecretsManager {
  /** The name of the server, once it has one. */
  get server_name(): string | null;
  /**
   * Names the server, once, before anything else. With `cache`, values that were read stay in memory:
   * a change that another process makes is not seen then.
   */
  initialize(server_name: string, options?: { cache?: boolean }): void;
  store_secret(name: string, value: string | Secret): void;
  /** The value, or `null` where there is none. Asks nobody. */
  retrieve_secret(name: string): string | null;
  list_secrets(): string[];
  /** Deletes every secret of this server, and says how many there were. */
  clear_secrets(): number;
  /** Whether there was one. */
  delete_secret(name: string): boolean;
  secret_exists(name: string): boolean;
  /** Whether all of them are there. */
  ensure_secrets(names: Iterable<string>): boolean;
  /**
   * The value, once the person has permitted this use; `null`, without a question, where there is none.
   * Rejects with `permission_denied` for every answer but the two that allow, and for none.
   */
  retrieve_secret_with_permission(name: string, ctx: SecretsContext, reason?: string): Promise<string | null>;
  /** As the function `fetch_secrets`, for this manager. */
  fetch_secrets(ctx: SecretsContext, secrets_info: SecretsInfo): Promise<[ok: boolean, message: string]>;
}

/** The manager of this process. */
export const secrets_manager: MCPSecretsManager;

/**
 * Asks the person for the secrets that are missing, in a window of the system, and stores the answers.
 * `ok` is false where there was no answer; `message` says why.
 */
export function fetch_secrets(
  ctx: SecretsContext,
  secrets_info: SecretsInfo,
): Promise<[ok: boolean, message: string]>;

/** The keychain below the manager: the items of one server, without a question. */
export class MCPSecretsStorage {
  constructor(server_name: string);
  store_secret(name: string, value: string | Secret): void;
  retrieve_secret(name: string): string | null;
  list_secrets(): string[];
  clear_secrets(): number;
  delete_secret(name: string): boolean;
  secret_exists(name: string): boolean;
}

/** One window: started, awaited, cancelled. */
export class AsyncUIHandler {
  /** Shows the window of this template, once, and does not wait. It closes after `timeout` seconds. */
  start(template: DialogTemplate, options?: { timeout?: number }): void;
  /** The answers by the fields' names; rejects where the window was closed or failed. */
  wait(): Promise<Map<string, Secret>>;
  /** Closes the window, and waits until nothing of it is left; `wait` rejects. */
  cancel(): Promise<void>;
}

export interface DialogTemplate {
  title: string;
  description?: string;
  /** `consent` asks for leave, without fields: the answer is named `answer`. */
  kind?: 'fields' | 'consent';
  fields?: Array<SecretInfo & { name: string }>;
}

/** A value that shows itself only to `reveal()`; printed, inspected or written as JSON it is `***`. */
export class Secret {
  constructor(value: string);
  reveal(): string;
  toString(): '***';
  toJSON(): '***';
}

/** What went wrong. Neither the code nor the message holds a value. */
export class SecretsError extends Error {
  /** Stable, for programs. */
  readonly code: string;
}

/** The secrets of a tool by their names; one that is not required may be missing. */
export type SecretsOf<Info extends SecretsInfo> = {
  readonly [Name in keyof Info]: Info[Name] extends { required: true } ? Secret : Secret | undefined;
};

/**
 * A tool's function that runs only with its secrets: what is missing is fetched, the person permits each
 * use, and `handler` gets them as its third argument.
 */
export function withSecrets<const Info extends SecretsInfo, Args, Context extends SecretsContext, Result>(
  secrets_info: Info,
  handler: (args: Args, ctx: Context, secrets: SecretsOf<Info>) => Result | Promise<Result>,
  options?: { reason?: string },
): (args: Args, ctx: Context) => Promise<Result>;
