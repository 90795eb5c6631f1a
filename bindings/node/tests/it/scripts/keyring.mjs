// What `@napi-rs/keyring` writes is read, and the other way round.
import { Entry } from '@napi-rs/keyring';
import { secrets_manager } from 'mcp-secrets';

const entry = (account) => new Entry('com.mcp.a server', account);
const seen = {};
entry('theirs').setPassword('canary-theirs');
entry('__secret_index__').setPassword(JSON.stringify(['theirs']));
secrets_manager.initialize('a server');
seen.theirs = secrets_manager.retrieve_secret('theirs');
seen.listed = secrets_manager.list_secrets();
secrets_manager.store_secret('ours', 'canary-ours');
seen.ours = entry('ours').getPassword();
seen.index = JSON.parse(entry('__secret_index__').getPassword());
// Written over from either side, there is one item still.
secrets_manager.store_secret('theirs', 'canary-over');
seen.over = entry('theirs').getPassword();
entry('ours').setPassword('canary-back');
seen.back = secrets_manager.retrieve_secret('ours');
seen.deleted = entry('ours').deletePassword();
seen.gone = secrets_manager.retrieve_secret('ours');
console.log(JSON.stringify(seen));
