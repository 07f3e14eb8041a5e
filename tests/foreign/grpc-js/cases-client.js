// grpc-js as the client of the official cases, as tests/src/bin/interop/cases.rs asks for it.
"use strict";
const grpc = require("@grpc/grpc-js");
const { TestService, current, mounted, payload, INITIAL, TRAILING } = require("./testing");

const { status } = grpc;
const GZIP = 2;
// The flag of a message that is sent as it is.
const NO_COMPRESS = 2;
const [LARGE_REQUEST, LARGE_RESPONSE] = [271828, 314159];
const REQUESTS = [27182, 8, 1828, 45904];
const RESPONSES = [31415, 9, 2653, 58979];
const SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
const [SOAK, SOAK_WORKERS, SOAK_LIMIT_MS] = [20, 4, 5000];
// Far longer than any case takes on a busy machine.
const LIMIT_MS = 20000;

const within = (milliseconds = LIMIT_MS) => ({ deadline: Date.now() + milliseconds });
const large = (more) => ({ response_size: LARGE_RESPONSE, payload: payload(LARGE_REQUEST), ...more });
const exchange = (request, response) => ({ payload: payload(request), response_parameters: [{ size: response }] });

function equal(found, wanted) {
  const [one, other] = [found, wanted].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${other} was expected, and ${one} came`);
}

// A client with what is mounted now: it cannot take up anything else later.
function dial(options) {
  // An address is no server name, so the name on the certificate is given. Clients alike would share a connection.
  const fixed = { "grpc.ssl_target_name_override": "localhost", "grpc.use_local_subchannel_pool": 1 };
  return new TestService(process.env.SERVER, grpc.credentials.createSsl(...mounted()), { ...fixed, ...options });
}

// The response of a call that has one, and the call.
function answered(start) {
  return new Promise((resolve, reject) => {
    const seen = {};
    // Trailers are told of after the response.
    const call = start((error, response) => (error ? reject(error) : setImmediate(() => resolve({ response, ...seen }))));
    call.on("metadata", (metadata) => (seen.initial = metadata));
    call.on("status", (end) => (seen.trailing = end.metadata));
  });
}

// The responses of a call that streams them; `react` is told of each.
function streamed(call, react = () => {}) {
  const seen = { sizes: [] };
  return new Promise((resolve, reject) => {
    call.on("data", ({ payload }) => react(seen.sizes.push(payload.body.length)));
    call.on("metadata", (metadata) => (seen.initial = metadata));
    call.on("status", (end) => (seen.trailing = end.metadata));
    call.on("error", reject);
    call.on("end", () => setImmediate(resolve, seen));
  });
}

async function refused(code, promise) {
  const error = await promise.then(
    () => ({ code: "no error" }),
    (error) => error,
  );
  equal(error.code, code);
  return error;
}

async function unary(client, request, metadata = new grpc.Metadata()) {
  const answer = await answered((done) => client.UnaryCall(request, metadata, within(), done));
  equal(answer.response.payload.body.length, request.response_size);
  return answer;
}

// Requests, each with the flags of its message.
function streamingInput(client, requests) {
  return answered((done) => {
    const call = client.StreamingInputCall(new grpc.Metadata(), within(), done);
    // The call may end before all are sent.
    call.on("error", () => {});
    for (const [request, flags] of requests) call.write(request, flags);
    call.end();
    return call;
  });
}

async function soak(call) {
  const worker = async () => {
    for (let calls = 0; calls < SOAK / SOAK_WORKERS; calls += 1) {
      const start = Date.now();
      await call();
      if (Date.now() - start > SOAK_LIMIT_MS) throw new Error(`a call took ${Date.now() - start} ms`);
    }
  };
  await Promise.all(Array.from({ length: SOAK_WORKERS }, worker));
}

async function unimplemented(client, path) {
  const asIs = (buffer) => buffer;
  const call = answered((done) => client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), new grpc.Metadata(), within(), done));
  await refused(status.UNIMPLEMENTED, call);
}

const expecting = (value) => ({ expect_compressed: { value } });

const cases = {
  empty_unary: ({ plain }) => answered((done) => plain.EmptyCall({}, new grpc.Metadata(), within(), done)),
  large_unary: ({ plain }) => unary(plain, large()),
  async client_compressed_unary({ plain, gzip }) {
    await refused(status.INVALID_ARGUMENT, unary(plain, large(expecting(true))));
    await unary(gzip, large(expecting(true)));
    await unary(plain, large(expecting(false)));
  },
  async server_compressed_unary({ plain }) {
    for (const value of [true, false]) await unary(plain, large({ response_compressed: { value } }));
  },
  async client_streaming({ plain }) {
    const { response } = await streamingInput(plain, REQUESTS.map((size) => [{ payload: payload(size) }]));
    equal(response.aggregated_payload_size, 74922);
  },
  async client_compressed_streaming({ plain, gzip }) {
    const request = (value, size, flags) => [{ payload: payload(size), ...expecting(value) }, flags];
    await refused(status.INVALID_ARGUMENT, streamingInput(plain, [request(true, 27182)]));
    const requests = [request(true, 27182), request(false, 45904, NO_COMPRESS)];
    equal((await streamingInput(gzip, requests)).response.aggregated_payload_size, 73086);
  },
  async server_streaming({ plain }) {
    const request = { response_parameters: RESPONSES.map((size) => ({ size })) };
    equal((await streamed(plain.StreamingOutputCall(request, within()))).sizes, RESPONSES);
  },
  async server_compressed_streaming({ plain }) {
    const wanted = [
      { size: 31415, compressed: { value: true } },
      { size: 92653, compressed: { value: false } },
    ];
    equal((await streamed(plain.StreamingOutputCall({ response_parameters: wanted }, within()))).sizes, [31415, 92653]);
  },
  async ping_pong({ plain }) {
    const call = plain.FullDuplexCall(within());
    const send = (number) => (number < REQUESTS.length ? call.write(exchange(REQUESTS[number], RESPONSES[number])) : call.end());
    const responses = streamed(call, send);
    send(0);
    equal((await responses).sizes, RESPONSES);
  },
  async empty_stream({ plain }) {
    const call = plain.FullDuplexCall(within());
    call.end();
    equal((await streamed(call)).sizes, []);
  },
  async custom_metadata({ plain }) {
    const metadata = () => {
      const sent = new grpc.Metadata();
      sent.set(INITIAL, "test_initial_metadata_value");
      sent.set(TRAILING, Buffer.from("ababab", "hex"));
      return sent;
    };
    const one = await unary(plain, { response_size: 1, payload: payload(1) }, metadata());
    const call = plain.FullDuplexCall(metadata(), within());
    call.write(exchange(1, 1));
    call.end();
    const other = await streamed(call);
    equal(other.sizes, [1]);
    for (const { initial, trailing } of [one, other]) {
      equal(initial.get(INITIAL), ["test_initial_metadata_value"]);
      equal(trailing.get(TRAILING).map((value) => value.toString("hex")), ["ababab"]);
    }
  },
  async status_code_and_message({ plain }) {
    const response_status = { code: status.UNKNOWN, message: "test status message" };
    equal((await refused(status.UNKNOWN, unary(plain, { response_status }))).details, response_status.message);
    const call = plain.FullDuplexCall(within());
    call.write({ response_status });
    call.end();
    equal((await refused(status.UNKNOWN, streamed(call))).details, response_status.message);
  },
  async special_status_message({ plain }) {
    const response_status = { code: status.UNKNOWN, message: SPECIAL };
    equal((await refused(status.UNKNOWN, unary(plain, { response_status }))).details, SPECIAL);
  },
  unimplemented_method: ({ plain }) => unimplemented(plain, "/grpc.testing.TestService/UnimplementedCall"),
  unimplemented_service: ({ plain }) => unimplemented(plain, "/grpc.testing.UnimplementedService/UnimplementedCall"),
  async cancel_after_begin({ plain }) {
    const call = answered((done) => {
      const call = plain.StreamingInputCall(new grpc.Metadata(), within(), done);
      setImmediate(() => call.cancel());
      return call;
    });
    await refused(status.CANCELLED, call);
  },
  async cancel_after_first_response({ plain }) {
    const call = plain.FullDuplexCall(within());
    const responses = streamed(call, () => call.cancel());
    call.write(exchange(REQUESTS[0], RESPONSES[0]));
    await refused(status.CANCELLED, responses);
  },
  async timeout_on_sleeping_server({ plain }) {
    const call = plain.FullDuplexCall(within(1));
    const responses = streamed(call);
    call.write({ payload: payload(27182) });
    await refused(status.DEADLINE_EXCEEDED, responses);
  },
  rpc_soak: ({ plain }) => soak(() => unary(plain, large())),
  channel_soak: () =>
    soak(async () => {
      const client = dial();
      await unary(client, large()).finally(() => client.close());
    }),
};

const invisible = "grpc-js does not show whether a message was compressed";
const partly = { server_compressed_unary: invisible, server_compressed_streaming: invisible };

async function main() {
  let ended = false;
  process.stdin.on("end", () => (ended = true)).resume();
  const outcomes = {};
  for (const name of Object.keys(cases)) outcomes[name] = { passed: 0, failed: 0, first_failure: null };
  let set;
  let clients;
  const close = () => Object.values(clients ?? {}).forEach((client) => client.close());
  do {
    for (const [name, run] of Object.entries(cases)) {
      if (set !== current()) {
        close();
        set = current();
        clients = { plain: dial(), gzip: dial({ "grpc.default_compression_algorithm": GZIP }) };
      }
      try {
        await run(clients);
        outcomes[name].passed += 1;
      } catch (error) {
        outcomes[name].failed += 1;
        outcomes[name].first_failure ??= String(error);
      }
    }
  } while (!ended);
  close();
  console.log(JSON.stringify({ cases: outcomes, skipped: {}, partly }));
}

main();
