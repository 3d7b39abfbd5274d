using System.Collections.Concurrent;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>The temporal plane, which answers what a test tells it to and remembers what it was asked.</summary>
public sealed class ScriptedStates
{
    /// <summary>Every request, in the order in which they came.</summary>
    public ConcurrentQueue<IMessage> Asked { get; } = new();

    /// <summary>Answers the calls with one answer.</summary>
    public Func<IMessage, IMessage> Answer { get; set; } = _ => throw new RpcException(RpcCode.Unimplemented, "No test told what to answer.");

    /// <summary>Answers the n-th call with many, counted from 1. A null among them ends the call as a node does that stops.</summary>
    public Func<int, IMessage, IEnumerable<IMessage?>> Stream { get; set; } = (_, _) => throw new RpcException(RpcCode.Unimplemented, "No test told what to answer.");

    /// <summary>States that were kept, newest last.</summary>
    public ConcurrentQueue<Protocol.PutFoldSnapshotRequest> Kept { get; } = new();

    private int _streams;

    /// <summary>Requests of one kind.</summary>
    public T[] AskedFor<T>() => [.. Asked.OfType<T>()];

    public void Map(RpcServer server) => server
        .Unary(VaultMethods.GetState, One<Protocol.GetStateRequest, Protocol.State>)
        .Unary(VaultMethods.ResolveTime, One<Protocol.ResolveTimeRequest, Protocol.Cut>)
        .Unary(VaultMethods.DefineReducer, One<Protocol.DefineReducerRequest, Protocol.DefineReducerResponse>)
        .Unary(VaultMethods.GetReducer, One<Protocol.GetReducerRequest, Protocol.NamedReducer>)
        .Unary(VaultMethods.ListReducers, One<Protocol.ListReducersRequest, Protocol.ListReducersResponse>)
        .Unary(VaultMethods.PutFoldSnapshot, Keep)
        .ServerStreaming(VaultMethods.GetStates, ManyAsync<Protocol.GetStatesRequest, Protocol.GetStatesResponse>)
        .ServerStreaming(VaultMethods.GetStateHistory, ManyAsync<Protocol.GetStateHistoryRequest, Protocol.GetStateHistoryResponse>)
        .ServerStreaming(VaultMethods.ReadForFold, ManyAsync<Protocol.ReadForFoldRequest, Protocol.ReadForFoldResponse>);

    /// <summary>What a call fails with.</summary>
    public static RpcException Failure(RpcCode code, Protocol.Failure failure)
    {
        var trailers = new RpcMetadata();
        trailers.Add(VaultErrors.DetailTrailer, new Protocol.ErrorDetail { Failures = { failure } }.ToByteArray());
        return new RpcException(code, failure.Message, trailers);
    }

    private ValueTask<TResponse> One<TRequest, TResponse>(TRequest request, RpcContext context)
        where TRequest : IMessage
    {
        Asked.Enqueue(request);
        return ValueTask.FromResult((TResponse)Answer(request));
    }

    private ValueTask<Protocol.PutFoldSnapshotResponse> Keep(Protocol.PutFoldSnapshotRequest request, RpcContext context)
    {
        Kept.Enqueue(request);
        return ValueTask.FromResult(new Protocol.PutFoldSnapshotResponse { Kept = true });
    }

    private async ValueTask ManyAsync<TRequest, TResponse>(TRequest request, RpcWriter<TResponse> writer, RpcContext context)
        where TRequest : IMessage
        where TResponse : class, IMessage<TResponse>, new()
    {
        Asked.Enqueue(request);
        foreach (IMessage? message in Stream(Interlocked.Increment(ref _streams), request))
        {
            await writer.WriteAsync((TResponse)(message
                ?? throw Failure(RpcCode.Unavailable, new Protocol.Failure { Reason = Protocol.Reason.Draining, Message = "Stops." })));
        }
    }
}
