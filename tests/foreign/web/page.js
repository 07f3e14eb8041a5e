// The greeter as a page calls it, by npm's grpc-web. The stubs are written by hand: two methods and three messages.
'use strict';

const grpcWeb = require('grpc-web');
const {BinaryReader, BinaryWriter} = require('google-protobuf');

/** A field of text, and fields of numbers behind it. */
const encoded = (text, numbers = []) => {
  const writer = new BinaryWriter();
  writer.writeString(1, text);
  numbers.forEach((number, index) => writer.writeUint32(2 + index, number));
  return writer.getResultBuffer();
};

const decoded = bytes => {
  const reader = new BinaryReader(bytes);
  let message = '';
  while (reader.nextField()) {
    if (reader.getFieldNumber() === 1) message = reader.readString();
    else reader.skipField();
  }
  return message;
};

const descriptor = (name, type, encode) =>
  new grpcWeb.MethodDescriptor(`/greeter.v1.Greeter/${name}`, type, Object, Object, encode, decoded);
const sayHello = descriptor('SayHello', grpcWeb.MethodType.UNARY, ({name}) => encoded(name));
const keepGreeting = descriptor('KeepGreeting', grpcWeb.MethodType.SERVER_STREAMING,
  ({name, count, interval}) => encoded(name, [count, interval]));

const metadata = ({token, headers = {}, deadline}) => ({
  ...headers,
  ...(token && {authorization: `Bearer ${token}`}),
  ...(deadline && {deadline: String(Date.now() + deadline)}),
});

/** What came of a call: its replies, and its status. */
window.unary = call => new Promise(resolve => {
  const client = new grpcWeb.GrpcWebClientBase({format: call.format});
  client.rpcCall(call.host + sayHello.getName(), {name: 'page'}, metadata(call), sayHello, (error, reply) =>
    resolve(error ? {replies: [], code: error.code, message: error.message} : {replies: [reply], code: 0}));
});

window.stream = call => new Promise(resolve => {
  const client = new grpcWeb.GrpcWebClientBase({format: call.format});
  const {count = 3, interval = 20} = call;
  const replies = [];
  const stream = client.serverStreaming(
    call.host + keepGreeting.getName(), {name: 'page', count, interval}, metadata(call), keepGreeting);
  stream.on('data', reply => replies.push(reply));
  stream.on('error', error => resolve({replies, code: error.code, message: error.message}));
  stream.on('end', () => resolve({replies, code: 0}));
});

/** What a page may have a browser send without asking first: whether it could, and what it was let see. */
window.simple = async ({host, contentType}) => {
  try {
    const body = new Blob([new Uint8Array(5)], {type: contentType});
    const answer = await fetch(`${host}/greeter.v1.Greeter/SayHello`,
      {method: 'POST', mode: 'no-cors', credentials: 'include', body});
    return {type: answer.type, status: answer.status};
  } catch (error) {
    return {type: 'error', message: String(error)};
  }
};

/** The raw answer as scripts see it. */
window.raw = async ({host, token}) => {
  const answer = await fetch(`${host}/greeter.v1.Greeter/SayHello`, {
    method: 'POST',
    headers: {'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1', ...(token && {authorization: `Bearer ${token}`})},
    body: new Uint8Array(5),
  });
  return {status: answer.status, grpcStatus: answer.headers.get('grpc-status'), length: (await answer.arrayBuffer()).byteLength};
};
