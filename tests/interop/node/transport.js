// The transport as grpc-js sees it: the official interop cases restated on the echo service, and more.
'use strict';

const { assert, connect, deadline, echoProtoRoot, failsWith, grpc, load, readAll, repositoryProtoRoot, run, service, unary } = require('./basics');

const Echo = service(load(echoProtoRoot, 'echo.proto'), 'eventvault.test.v1.Echo');
const whitespace = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1F608}\t\n';
const zeros = (length) => Buffer.alloc(length);

function metadata() {
  const result = new grpc.Metadata();
  result.set('x-echo-initial', 'test_initial_metadata_value');
  result.set('x-echo-trailing-bin', Buffer.from([0xab, 0xab, 0xab]));
  return result;
}

function duplex(client, requests, headers = new grpc.Metadata()) {
  const call = client.Duplex(headers, deadline());
  const result = readAll(call);
  requests.forEach((request) => call.write(request));
  call.end();
  return result;
}

run({
  async empty_unary(a) {
    assert.strictEqual((await unary(connect(a, Echo), 'Unary', {})).answer.payload.length, 0);
  },

  async large_unary(a) {
    const { answer } = await unary(connect(a, Echo), 'Unary', { payload: zeros(271828), response_sizes: [314159] });
    assert.strictEqual(answer.payload.length, 314159);
  },

  async client_streaming(a) {
    const answer = await new Promise((resolve, reject) => {
      const call = connect(a, Echo).ClientStream(new grpc.Metadata(), deadline(), (error, value) => (error ? reject(error) : resolve(value)));
      [27182, 8, 1828, 45904].forEach((n) => call.write({ payload: zeros(n) }));
      call.end();
    });
    assert.deepStrictEqual([answer.messages, answer.bytes], [4, 74922]);
  },

  async server_streaming(a) {
    const sizes = [31415, 9, 2653, 58979];
    const result = await readAll(connect(a, Echo).ServerStream({ response_sizes: sizes }, deadline()));
    assert.deepStrictEqual(result.messages.map((m) => m.payload.length), sizes);
    assert.strictEqual(result.status.code, grpc.status.OK);
  },

  async ping_pong(a) {
    const pairs = [[27182, 31415], [8, 9], [1828, 2653], [45904, 58979]];
    const call = connect(a, Echo).Duplex(deadline());
    let at = 0;
    const send = () => (at < pairs.length ? call.write({ payload: zeros(pairs[at][0]), response_sizes: [pairs[at][1]] }) : call.end());
    const result = readAll(call, (message) => {
      assert.strictEqual(message.payload.length, pairs[at][1]);
      at++;
      send();
    });
    send();
    assert.strictEqual((await result).status.code, grpc.status.OK);
    assert.strictEqual(at, 4);
  },

  async empty_stream(a) {
    const result = await duplex(connect(a, Echo), []);
    assert.deepStrictEqual([result.messages.length, result.status.code], [0, grpc.status.OK]);
  },

  async cancel_after_begin(a) {
    const code = await new Promise((resolve) => {
      const call = connect(a, Echo).ClientStream(new grpc.Metadata(), deadline(), (error) => resolve(error && error.code));
      setImmediate(() => call.cancel());
    });
    assert.strictEqual(code, grpc.status.CANCELLED);
  },

  async cancel_after_first_response(a) {
    const call = connect(a, Echo).ServerStream({ response_sizes: [1000], repeat: 1000000000 }, deadline());
    const result = await readAll(call, () => call.cancel());
    assert.strictEqual(result.status.code, grpc.status.CANCELLED);
  },

  async timeout_on_sleeping_server(a) {
    const client = connect(a, Echo);
    await unary(client, 'Unary', {});
    await failsWith(grpc.status.DEADLINE_EXCEEDED, unary(client, 'Unary', { delay_ms: 60000 }, new grpc.Metadata(), deadline(200)));
  },

  async custom_metadata(a) {
    const client = connect(a, Echo);
    const { headers, trailers } = await unary(client, 'Unary', { text: 'x' }, metadata());
    assert.deepStrictEqual(headers.get('x-echo-initial'), ['test_initial_metadata_value']);
    assert.deepStrictEqual(trailers.get('x-echo-trailing-bin'), [Buffer.from([0xab, 0xab, 0xab])]);
    const stream = await duplex(client, [{ text: 'x' }], metadata());
    assert.deepStrictEqual(stream.headers.get('x-echo-initial'), ['test_initial_metadata_value']);
    assert.deepStrictEqual(stream.status.metadata.get('x-echo-trailing-bin'), [Buffer.from([0xab, 0xab, 0xab])]);
  },

  async status_code_and_message(a) {
    const client = connect(a, Echo);
    const fail = { code: 2, message: 'test status message', detail: Buffer.from([0, 1, 255]) };
    const error = await failsWith(grpc.status.UNKNOWN, unary(client, 'Unary', { fail }));
    assert.strictEqual(error.details, 'test status message');
    assert.deepStrictEqual(error.metadata.get('echo-detail-bin'), [Buffer.from([0, 1, 255])]);
    const { status } = await duplex(client, [{ fail }]);
    assert.deepStrictEqual([status.code, status.details], [grpc.status.UNKNOWN, 'test status message']);
    assert.deepStrictEqual(status.metadata.get('echo-detail-bin'), [Buffer.from([0, 1, 255])]);
  },

  async special_status_message(a) {
    const error = await failsWith(grpc.status.UNKNOWN, unary(connect(a, Echo), 'Unary', { fail: { code: 2, message: whitespace } }));
    assert.strictEqual(error.details, whitespace);
  },

  async status_after_messages(a) {
    const result = await readAll(connect(a, Echo).ServerStream({ response_sizes: [1, 2], fail: { code: 15, message: 'damaged' } }, deadline()));
    assert.deepStrictEqual(result.messages.map((m) => m.payload.length), [1, 2]);
    assert.deepStrictEqual([result.status.code, result.status.details], [grpc.status.DATA_LOSS, 'damaged']);
  },

  async every_status_code(a) {
    const client = connect(a, Echo);
    for (let code = 1; code <= 16; code++) {
      await failsWith(code, unary(client, 'Unary', { fail: { code } }));
    }
  },

  async unimplemented_method(a) {
    await failsWith(grpc.status.UNIMPLEMENTED, unary(connect(a, Echo), 'Missing', {}));
  },

  async unimplemented_service(a) {
    const Nobody = grpc.makeGenericClientConstructor({ Unary: { ...Echo.service.Unary, path: '/eventvault.test.v1.Nobody/Unary' } }, 'Nobody');
    await failsWith(grpc.status.UNIMPLEMENTED, unary(connect(a, Nobody), 'Unary', {}));
  },

  async gzip(a) {
    for (const algorithm of [0, 2]) { // identity, gzip
      const client = connect(a, Echo, { 'grpc.default_compression_algorithm': algorithm });
      for (const compress of [true, false]) {
        const request = { payload: zeros(500000), compress };
        assert.strictEqual((await unary(client, 'Unary', request)).answer.payload.length, 500000);
        const { messages } = await duplex(client, [request, request]);
        assert.deepStrictEqual(messages.map((m) => m.payload.length), [500000, 500000]);
      }
    }
  },

  async deflate_is_refused(a) {
    const client = connect(a, Echo, { 'grpc.default_compression_algorithm': 1 });
    await failsWith(grpc.status.UNIMPLEMENTED, unary(client, 'Unary', { payload: zeros(10000) }));
  },

  async large_messages(a) {
    const client = connect(a, Echo, { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    assert.strictEqual((await unary(client, 'Unary', { payload: zeros(12 << 20) })).answer.payload.length, 12 << 20);
    await failsWith(grpc.status.RESOURCE_EXHAUSTED, unary(client, 'Unary', { payload: zeros(17 << 20) }));
    assert.strictEqual((await unary(client, 'Unary', { text: 'alive' })).answer.text, 'alive');
  },

  async concurrent_calls(a) {
    const client = connect(a, Echo);
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => unary(client, 'Unary', { text: `${i}`, delay_ms: 1 })));
    assert.deepStrictEqual(answers.map((r) => r.answer.text), Array.from({ length: 500 }, (_, i) => `${i}`));
  },

  async health(a) {
    const Health = service(load(repositoryProtoRoot, 'grpc/health/v1/health.proto'), 'grpc.health.v1.Health');
    const client = connect(a, Health);
    assert.strictEqual((await unary(client, 'Check', {})).answer.status, 'SERVING');
    await failsWith(grpc.status.NOT_FOUND, unary(client, 'Check', { service: 'nobody' }));
    const watch = client.Watch({ service: 'nobody' }, deadline());
    const result = await readAll(watch, () => watch.cancel());
    assert.strictEqual(result.messages[0].status, 'SERVICE_UNKNOWN');
  },

  async reflection(a) {
    const Reflection = service(load(repositoryProtoRoot, 'grpc/reflection/v1/reflection.proto'), 'grpc.reflection.v1.ServerReflection');
    const call = connect(a, Reflection).ServerReflectionInfo(deadline());
    const result = readAll(call);
    call.write({ list_services: '*' });
    call.write({ file_containing_symbol: 'eventvault.test.v1.Echo' });
    call.end();
    const { messages } = await result;
    assert.ok(messages[0].list_services_response.service.some((s) => s.name === 'eventvault.test.v1.Echo'));
    assert.strictEqual(messages[1].file_descriptor_response.file_descriptor_proto.length, 1);
  },
});
