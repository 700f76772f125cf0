// Records what axios does with random chains of interceptors, for chains_test.go, which has axle do the same.
//
//   npm install --no-save axios@1.21.1 && node record.mjs > chains.json
import axios, { AxiosError, VERSION } from 'axios';

let seed = 7;
const random = (n) => { // mulberry32
  let t = seed = (seed + 0x6D2B79F5) | 0;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) % n;
};
const pick = (list) => list[random(list.length)];

const acts = ['pass', 'change', 'change', 'throw', 'replace', 'do', '', ''];
const pairs = (prefix, whens) => Array.from({ length: random(5) }, (_, i) => ({
  name: prefix + i, fulfilled: pick(acts), rejected: pick(acts), when: pick(whens),
}));
const chains = Array.from({ length: 400 }, () => ({
  requests: pairs('q', ['', '', 'once', 'again']),
  responses: pairs('p', ['']), // runWhen is the request chain's alone in axios
  network: Array.from({ length: 1 + random(4) }, () => pick([200, 200, 404, 503, 0])),
}));

const marks = (config) => config.headers['X-Marked'] || '';
const mark = (config, name) => { config.headers['X-Marked'] = (marks(config) && marks(config) + ',') + name; };
const whens = { once: (config) => !marks(config), again: (config) => !!marks(config) };

async function run(chain) {
  const journal = [];
  let sent = 0, nested = 0;
  const validateStatus = (status) => status >= 200 && status < 300;
  const adapter = async (config) => {
    const status = chain.network[Math.min(sent++, chain.network.length - 1)];
    if (status === 0) throw new AxiosError('', 'ERR_NETWORK', config);
    const response = { status, data: '', headers: { label: 'answer' + sent }, config, request: {} };
    if (validateStatus(status)) return response;
    throw new AxiosError('', status < 500 ? 'ERR_BAD_REQUEST' : 'ERR_BAD_RESPONSE', config, {}, response);
  };
  const fresh = (name) => ({ url: '/', method: 'get', adapter, validateStatus, headers: { 'X-Marked': name } });
  const client = axios.create({ adapter, validateStatus });

  const describe = (value, isError) => {
    if (isError) return value.config ? `error ${value.code} [${marks(value.config)}]` : `thrown ${value.message}`;
    return value.config ? `response ${value.headers.label} [${marks(value.config)}]` : `request [${marks(value)}]`;
  };
  const handler = (pair, act, isError, isRequest) => act && (async (value) => {
    journal.push(`${pair.name} ${describe(value, isError)}`);
    const config = isError ? value.config : isRequest ? value : value.config; // none where an error was just thrown
    if (act === 'throw') throw new Error(pair.name);
    if (act === 'replace' && isRequest) return fresh(pair.name);
    if (act === 'replace') return { status: 200, data: '', headers: { label: pair.name }, config: config || fresh(''), request: {} };
    if (act === 'change' && config) mark(config, pair.name);
    if (act === 'do' && config && ++nested <= 4) {
      const response = await client(config);
      return isRequest ? response.config : response;
    }
    if (isError) throw value;
    return value;
  });
  for (const isRequest of [true, false]) {
    for (const pair of isRequest ? chain.requests : chain.responses) {
      client.interceptors[isRequest ? 'request' : 'response'].use(
        handler(pair, pair.fulfilled, false, isRequest), handler(pair, pair.rejected, true, isRequest), { runWhen: whens[pair.when] });
    }
  }
  try {
    journal.push('outcome ' + describe(await client.get('/'), false));
  } catch (error) {
    journal.push('outcome ' + describe(error, true));
  }
  return { ...chain, journal };
}

const recorded = [];
for (const chain of chains) recorded.push(await run(chain));
console.log('{"axios":' + JSON.stringify(VERSION) + ',"chains":[');
console.log(recorded.map((r) => JSON.stringify(r)).join(',\n'));
console.log(']}');
