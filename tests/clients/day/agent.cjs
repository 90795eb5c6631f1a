// An agent by the official TypeScript SDK that does what it is told; agent.py says how.
const readline = require('node:readline');
const { setTimeout: pause } = require('node:timers/promises');
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');

function transport({ command, args, url, token }) {
  if (command) return new StdioClientTransport({ command, args, env: process.env });
  const headers = { Authorization: `Bearer ${token}` };
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
}

const say = (line) => console.log(JSON.stringify(line));

async function call(client, { tool, input, again }) {
  for (let times = 1; ; times += 1) {
    const answer = await client.callTool({ name: tool, arguments: input });
    const error = answer.structuredContent?.error;
    if (!again || error?.retry !== 'ask') return { answer, times };
    if (times === 1) say({ asked: error });
    await pause(100);
  }
}

async function main() {
  const entry = JSON.parse(process.env.SERVER);
  delete process.env.SERVER;
  const client = new Client({ name: 'typescript', version: '1' });
  await client.connect(transport(entry));
  say({ tools: (await client.listTools()).tools.map(({ name }) => name) });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    say(await call(client, JSON.parse(line)));
  }
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
