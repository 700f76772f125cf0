// axios beside axle: what an interceptor pair costs, and a stampede on a dead token with the reference code.
// Each row is printed as a line of `go test -bench`. One run is one round: `node bench.mjs` after `npm ci`.
import http from 'node:http'

let axios, createAuthRefresh
try {
  axios = (await import('axios')).default
  createAuthRefresh = (await import('axios-auth-refresh')).createAuthRefresh
} catch {
  console.log('SKIP axios is not installed: npm ci')
  process.exit(0)
}

const item = { id: 7, name: 'a name', tags: ['one', 'two', 'three'], text: '' }
item.text = 'x'.repeat(300 - JSON.stringify(item).length)
const answer = JSON.stringify(item) // 300 bytes, as in Go

const row = (name, n, ns, metrics = {}) => {
  const extra = Object.entries(metrics).map(([unit, value]) => `\t${value} ${unit}`).join('')
  console.log(`BenchmarkAxios/${name.replaceAll(' ', '_')}\t${n}\t${ns.toFixed(1)} ns/op${extra}`)
}

// --- in memory -----------------------------------------------------------------------------------------------------------

const memory = async (config) => ({
  data: answer, status: 200, statusText: 'OK', headers: { 'content-type': 'application/json' }, config, request: {},
})

const withPairs = (pairs) => {
  const client = axios.create({ baseURL: 'http://api.test', adapter: memory })
  for (let i = 0; i < pairs; i++) {
    client.interceptors.request.use((config) => config)
    client.interceptors.response.use((response) => response)
  }
  return client
}

const measure = async (name, call) => {
  const spend = async (n) => {
    const began = process.hrtime.bigint()
    for (let i = 0; i < n; i++) {
      const { data } = await call()
      if (data.text !== item.text) throw new Error('another answer')
    }
    return Number(process.hrtime.bigint() - began)
  }
  await spend(200) // the compiler's warm-up
  let n = 50
  let ns = await spend(n)
  while (ns < 50e6) {
    n = Math.ceil(n * Math.min(10, 60e6 / ns))
    ns = await spend(n)
  }
  row(name, n, ns / n)
}

const sizes = [0, 1, 10, 100, 1000]
const called = (pairs) => (pairs === 0 ? 'axios' : pairs === 1 ? 'axios, 1 pair' : `axios, ${pairs} pairs`)
for (const pairs of sizes) {
  const client = withPairs(pairs)
  await measure(`GET/${called(pairs)}`, () => client.get('/items/7'))
}
for (const pairs of sizes) {
  const client = withPairs(pairs)
  await measure(`POST/${called(pairs)}`, () => client.post('/items/7', item))
}

// --- stampedes -----------------------------------------------------------------------------------------------------------

const calls = 1000
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// gate lets all go when the last has come.
const gate = () => {
  let came = 0
  let open
  const opened = new Promise((resolve) => (open = resolve))
  return async () => {
    const number = ++came
    if (number === calls) open()
    await opened
    return number
  }
}

// newServer is bench/api_test.go in JavaScript: the same session, the same delays.
const newServer = (life, late) => {
  const api = { refreshes: 0, revoked: false }
  const access = new Set()
  let refresh = 'refresh-0'
  const dead = gate()
  const warm = gate()
  const renew = (token) => {
    api.refreshes++
    if (api.revoked) return null
    if (life !== 'stay valid') {
      if (token !== refresh) {
        if (life === 'watched for re-use') {
          api.revoked = true
          access.clear()
        }
        return null
      }
      access.clear()
      refresh = `refresh-${api.refreshes}`
    }
    const token2 = `access-${api.refreshes}`
    access.add(token2)
    return { access_token: token2, refresh_token: refresh, expires_in: 3600 }
  }
  const server = http.createServer(async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    const send = (status, text = '') => {
      res.writeHead(status, { 'content-type': 'application/json' })
      res.end(text)
    }
    if (req.url === '/warm') {
      await warm()
      return send(204)
    }
    if (req.url === '/auth/refresh-token') {
      await sleep(2.5)
      const got = renew(JSON.parse(body).refresh_token)
      await sleep(2.5)
      return got ? send(200, JSON.stringify(got)) : send(401)
    }
    const token = (req.headers.authorization ?? '').slice('Bearer '.length)
    if (token === 'dead') {
      const number = await dead()
      if (late && number % 10 === 0) await sleep(50 + (number % 151))
    }
    return access.has(token) ? send(200, answer) : send(401)
  })
  return { api, server }
}

// withLibrary is axios-auth-refresh as its README has it, with its defaults.
const withLibrary = (baseURL, httpAgent) => {
  const api = axios.create({ baseURL, httpAgent, adapter: 'http', proxy: false })
  let tokens = { access_token: 'dead', refresh_token: 'refresh-0' }
  api.interceptors.request.use((config) => {
    config.headers.set('Authorization', `Bearer ${tokens.access_token}`)
    return config
  })
  createAuthRefresh(api, async (failed) => {
    tokens = (await api.post('/auth/refresh-token', { refresh_token: tokens.refresh_token })).data
    failed.response.config.headers.Authorization = `Bearer ${tokens.access_token}`
  })
  return api
}

// withReference is the reference code. Its tokens are bearers here, where the reference has cookies: Node has no jar.
const withReference = (baseURL, httpAgent) => {
  const api = axios.create({ baseURL, httpAgent, adapter: 'http', proxy: false })
  const store = {
    tokens: { access_token: 'dead', refresh_token: 'refresh-0' },
    checkingAuth: false,
    refreshToken: async () => {
      // Prevent multiple simultaneous refresh attempts
      if (store.checkingAuth) return
      store.checkingAuth = true
      try {
        const response = await api.post('/auth/refresh-token', { refresh_token: store.tokens.refresh_token })
        store.tokens = response.data
        store.checkingAuth = false
        return response.data
      } catch (error) {
        store.checkingAuth = false
        throw error
      }
    },
    logout: () => {},
  }
  api.interceptors.request.use((config) => {
    config.headers.set('Authorization', `Bearer ${store.tokens.access_token}`)
    return config
  })
  let refreshPromise = null
  api.interceptors.response.use(
    (response) => response,
    async (error) => {
      const originalRequest = error.config
      if (error.response?.status === 401 && !originalRequest._retry) {
        originalRequest._retry = true
        try {
          // if a refresh is already in progress, wait for it to complete
          if (!refreshPromise) refreshPromise = store.refreshToken()
          await refreshPromise
          refreshPromise = null
          return api(originalRequest)
        } catch (refreshError) {
          store.logout()
          return Promise.reject(refreshError)
        }
      }
    },
  )
  return api
}

const clients = { 'axios, the reference code': withReference, 'axios-auth-refresh': withLibrary }

const stampede = async (name, life, late, report = row) => {
  const { api, server } = newServer(life, late)
  await new Promise((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 2 * calls }, resolve))
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 2 * calls })
  const base = `http://127.0.0.1:${server.address().port}`
  const all = (fn) => Promise.all(Array.from({ length: calls }, fn))
  await all(() => axios.get(`${base}/warm`, { httpAgent: agent, proxy: false }))
  const client = clients[name](base, agent)
  let failures = 0
  const began = process.hrtime.bigint()
  await all(async () => {
    try {
      // The reference's handler returns nothing for an error that it does not treat: the call then yields undefined.
      const response = await client.get('/items/7')
      if (response?.data?.text !== item.text) failures++
    } catch {
      failures++
    }
  })
  const ns = Number(process.hrtime.bigint() - began)
  agent.destroy()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  const when = late ? 'some 401s late' : 'all 401s at once'
  report(`Stampede/${life}/${when}/${name}`, 1, ns, {
    'wall-ns': ns, refreshes: api.refreshes, failures, revoked: api.revoked ? 1 : 0,
  })
}

for (const name in clients) {
  await stampede(name, 'stay valid', false, () => {}) // the compiler's warm-up
  for (const late of [false, true]) {
    for (const life of ['stay valid', 'rotate', 'watched for re-use']) await stampede(name, life, late)
  }
}
