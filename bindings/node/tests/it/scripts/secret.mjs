// The ways in which a value could slip out.
import util from 'node:util';
import { Secret } from 'mcp-secrets';

const secret = new Secret('canary-value');
console.log(secret);
console.log('%s %o %O %j', secret, secret, secret, secret, { deep: { er: [secret] } });
console.log(`${secret}`, 'a' + secret, String(secret), [secret].join());
console.log(JSON.stringify({ secret, list: [secret] }));
console.log(util.inspect(secret, { showHidden: true, customInspect: false, depth: 9 }));
console.log(util.inspect(new Map([[secret, secret]]), { showHidden: true }));
console.log(JSON.stringify(Object.getOwnPropertyDescriptors(secret)), Reflect.ownKeys(secret));
console.log(structuredClone({ a: 1 }), Object.entries(secret), { ...secret });
console.error(new Error('an error', { cause: secret }));
try {
  secret.value = 'x';
} catch (error) {
  console.log(error.name);
}
console.log(secret.reveal() === 'canary-value', secret instanceof Secret);
