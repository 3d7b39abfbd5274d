using System.Text;
using EventVault.Peers.Servers.Etcd;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Peers.Servers;

/// <summary>
/// etcd over its gRPC API: one key for each event, stream/version. An append is a transaction that puts the keys if the first one does
/// not exist yet, so a version that is too low is noticed (one that is too high is not, which is in etcd's favour). etcd acknowledges after
/// fsync of its log.
/// </summary>
internal sealed class EtcdPeer : IPeer
{
    private readonly PeerServer _server = new("etcd");

    public string Name => "etcd";

    public bool IsDurable => true;

    public string? Program => PeerServer.Find("etcd");

    public string? Missing => Program is null ? "etcd is not installed (etcd-server)" : null;

    public int ProcessId => _server.ProcessId;

    public string SetUp => "etcd, one node, a transaction of compare and put for each append, fsync before the answer, 16 GB quota, our gRPC client on 1 to 4 connections";

    public string? Skips(Workload workload) => workload is Workload.OneAppender or Workload.ManyAppenders or Workload.ManyEvents ? null : "keeps an index of every key in memory; not an event log";

    public Task StartAsync(bool fresh)
    {
        if (fresh)
        {
            _server.Empty();
        }

        var (client, peer) = ($"http://127.0.0.1:{_server.Port}", $"http://127.0.0.1:{LoadTest.Nodes.ServerProcess.FreePort()}");
        return _server.StartAsync(
            Program!,
            ["--name", "a", "--data-dir", Path.Combine(_server.Folder, "data"), "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "a=" + peer, "--quota-backend-bytes", "16000000000", "--log-level", "warn"],
            async () =>
            {
                await using var channel = new RpcChannel(new Uri(client));
                await channel.UnaryAsync(EtcdLog.Range, new RangeRequest { Key = ByteString.CopyFromUtf8("x") });
            });
    }

    public Task StopAsync(bool kill) => _server.StopAsync(kill);

    public Task<IEventLog> ConnectAsync(int inFlight)
    {
        var channel = new RpcChannel(new Uri($"http://127.0.0.1:{_server.Port}"), new RpcChannelOptions { Connections = inFlight >= 64 ? 4 : 1 });
        return Task.FromResult<IEventLog>(new EtcdLog(channel, _server.Folder));
    }
}

internal sealed class EtcdLog(RpcChannel channel, string folder) : IEventLog
{
    // What stands before the data of a value: the id and the length of the type.
    private const int IdAndLength = 17;

    // The target "create revision" of a comparison: equal to 0 where there is no such key.
    private const int CreateRevision = 1;

    public static readonly RpcMethod<RangeRequest, RangeResponse> Range = RpcMethod<RangeRequest, RangeResponse>.Of(EtcdReflection.Descriptor.Services[0], "Range");
    private static readonly RpcMethod<TxnRequest, TxnResponse> Txn = RpcMethod<TxnRequest, TxnResponse>.Of(EtcdReflection.Descriptor.Services[0], "Txn");

    public long NoStream => 0;

    public async Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        var request = new TxnRequest();
        var version = expected;
        foreach (var e in events)
        {
            var key = Key(stream, ++version);
            if (version == expected + 1)
            {
                request.Compare.Add(new Compare { Target = CreateRevision, Key = key });
            }

            var value = new byte[IdAndLength + e.Type.Length + e.Data.Length];
            e.Id.TryWriteBytes(value);
            value[IdAndLength - 1] = (byte)e.Type.Length;
            Encoding.ASCII.GetBytes(e.Type, value.AsSpan(IdAndLength));
            e.Data.Span.CopyTo(value.AsSpan(IdAndLength + e.Type.Length));
            request.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = key, Value = UnsafeByteOperations.UnsafeWrap(value) } });
        }

        var response = await channel.UnaryAsync(Txn, request);
        return response.Succeeded ? version : throw new WrongVersionException(stream);
    }

    public async Task<long> ReadStreamAsync(string stream, EventSink sink)
    {
        // "0" is the character behind "/".
        var response = await channel.UnaryAsync(Range, new RangeRequest { Key = Key(stream, 0), RangeEnd = ByteString.CopyFromUtf8(stream + "0") });
        foreach (var pair in response.Kvs)
        {
            sink(pair.CreateRevision, pair.Value.Span[(IdAndLength + pair.Value[IdAndLength - 1])..]);
        }

        return response.Kvs.Count;
    }

    public Task<long> ReadAllAsync(long most, EventSink sink) => throw new NotSupportedException();

    public Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink) => throw new NotSupportedException();

    public Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events) => throw new NotSupportedException();

    public Task<long> DiskBytesAsync() => Task.FromResult(PeerServer.FolderBytes(folder));

    public ValueTask DisposeAsync() => channel.DisposeAsync();

    private static ByteString Key(string stream, long version) => ByteString.CopyFromUtf8($"{stream}/{version:d10}");
}
