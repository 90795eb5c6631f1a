// An agent in JavaScript that has a key of Strongroom and no other. Node and its `fetch` only.
//
//   STRONGROOM_URL=http://127.0.0.1:8443 STRONGROOM_KEY=mcp_... node agent.mjs SERVICE PATH

/** What Strongroom did not do, and why: `code` is for programs, the text for people. */
class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.retryAfter = error.details?.retry_after_s;
  }
}

class Strongroom {
  constructor(url, key) {
    this.url = url;
    this.key = key;
  }

  /** `data` of the answer. What is to be tried again later is, once. */
  async ask(method, path, body) {
    try {
      return (await this.once(method, path, body)).data;
    } catch (refused) {
      if (refused.retryAfter === undefined) throw refused;
      await new Promise((resolve) => setTimeout(resolve, refused.retryAfter * 1000));
      return (await this.once(method, path, body)).data;
    }
  }

  /** What a tool answers, over MCP. No session is needed for that. */
  async call(name, args) {
    const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
    const { result, error } = await this.once('POST', '/mcp', message);
    if (error) throw new Refused(200, error);
    if (result.isError) throw new Refused(200, result.structuredContent.error);
    return result.structuredContent;
  }

  async once(method, path, body) {
    const headers = {
      'X-API-Key': this.key,
      'Content-Type': 'application/json',
      Accept: 'application/json',
    };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Refused(response.status, answer.error);
    return answer;
  }
}

const [service, path] = process.argv.slice(2);
const strongroom = new Strongroom(process.env.STRONGROOM_URL, process.env.STRONGROOM_KEY);
const seen = {};
const { servers } = await strongroom.ask('GET', '/functions/v1/mcp-servers/list?enabled_only=true');
seen.servers = servers.map((server) => server.server_id);
const resource = servers.length ? `${servers[0].tool_prefix}anything` : 'execute';
const question = { action: 'tools/call', resource };
seen.decision = (await strongroom.ask('POST', '/functions/v1/authorize', question)).decision;
const answer = await strongroom.call('execute', { service, method: 'GET', path });
[seen.status, seen.body] = [answer.status, answer.body];
const stranger = new Strongroom(strongroom.url, `${strongroom.key.slice(0, -1)}x`);
const attempts = {
  forbidden: () => strongroom.call('execute', { service, method: 'DELETE', path }),
  unknown: () => strongroom.call('execute', { service: 'no-such-service', method: 'GET', path }),
  plaintext: () =>
    strongroom.ask('POST', '/functions/v1/credentials/retrieve', { service, credential_type: 'api_key' }),
  mistake: () => strongroom.ask('POST', '/functions/v1/authorize', { acton: 'tools/call' }),
  stranger: () => stranger.ask('GET', '/functions/v1/mcp-servers/list'),
};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
  } catch (refused) {
    seen[name] = refused.code;
  }
}
console.log(JSON.stringify(seen));
