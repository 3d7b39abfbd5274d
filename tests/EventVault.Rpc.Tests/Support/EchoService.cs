using System.Collections.Concurrent;
using EventVault.Rpc.Server;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Rpc.Tests.Support;

/// <summary>The handlers behind echo.proto, and what they have seen.</summary>
public sealed class EchoService
{
    private const int ThrowUnexpected = 100;

    public static readonly ServiceDescriptor Descriptor = EchoReflection.Descriptor.Services[0];
    public static readonly RpcMethod<EchoRequest, EchoResponse> Unary = Of("Unary");
    public static readonly RpcMethod<EchoRequest, EchoResponse> ServerStream = Of("ServerStream");
    public static readonly RpcMethod<EchoRequest, EchoResponse> ClientStream = Of("ClientStream");
    public static readonly RpcMethod<EchoRequest, EchoResponse> Duplex = Of("Duplex");
    public static readonly RpcMethod<EchoRequest, EchoResponse> Missing = Of("Missing");
    public static readonly RpcMethod<EchoRequest, EchoResponse> ServerStreamRaw = Of("ServerStreamRaw");

    private long _bytesWritten;
    private long _flushes;

    /// <summary>How handlers ended: the names of the exceptions, or "ok".</summary>
    public BlockingCollection<string> Ends { get; } = [];

    public BlockingCollection<string> Starts { get; } = [];

    public long BytesWritten => Volatile.Read(ref _bytesWritten);

    public long Flushes => Volatile.Read(ref _flushes);

    public RpcServer AddTo(RpcServer server) => server
        .Unary(Unary, (request, context) => Watch(context, () => AnswerOnceAsync(request, context)))
        .ServerStreaming(ServerStream, (request, writer, context) => Watch(context, async () =>
        {
            Prepare(request, context);
            await AnswerAsync(request, writer, context);
            await writer.FlushIfFullAsync();
            return 0;
        }).AsVoid())
        .ClientStreaming(ClientStream, (reader, context) => Watch(context, async () =>
        {
            var response = new EchoResponse();
            while (await reader.MoveNextAsync())
            {
                response.Messages++;
                response.Bytes += reader.Current.Payload.Length;
                ThrowIfAsked(reader.Current);
            }

            return response;
        }))
        .Duplex(Duplex, (reader, writer, context) => Watch(context, async () =>
        {
            while (await reader.MoveNextAsync())
            {
                do
                {
                    Prepare(reader.Current, context);
                    await AnswerAsync(reader.Current, writer, context);
                }
                while (reader.TryRead());
                Interlocked.Increment(ref _flushes);
                await writer.FlushAsync();
            }

            return 0;
        }).AsVoid());

    private async ValueTask<T> Watch<T>(RpcContext context, Func<ValueTask<T>> handler)
    {
        Starts.Add(context.Method);
        try
        {
            var result = await handler();
            Ends.Add("ok");
            return result;
        }
        catch (Exception e)
        {
            Ends.Add(e.GetType().Name);
            throw;
        }
    }

    private static async ValueTask<EchoResponse> AnswerOnceAsync(EchoRequest request, RpcContext context)
    {
        Prepare(request, context);
        if (request.DelayMs > 0)
        {
            await Task.Delay(request.DelayMs, context.Cancellation);
        }

        ThrowIfAsked(request);
        return new EchoResponse
        {
            Payload = request.ResponseSizes.Count > 0 ? ByteString.CopyFrom(new byte[request.ResponseSizes[0]]) : request.Payload,
            Text = request.Text,
        };
    }

    private async ValueTask AnswerAsync(EchoRequest request, RpcWriter<EchoResponse> writer, RpcContext context)
    {
        for (var i = 0L; i < Math.Max(request.Repeat, 1); i++)
        {
            foreach (var size in request.ResponseSizes)
            {
                await AnswerAsync(new EchoResponse { Payload = ByteString.CopyFrom(new byte[size]), Messages = i });
            }
        }

        if (request.ResponseSizes.Count == 0 && (!request.Payload.IsEmpty || request.Text.Length > 0))
        {
            await AnswerAsync(new EchoResponse { Payload = request.Payload, Text = request.Text });
        }

        ThrowIfAsked(request);

        async ValueTask AnswerAsync(EchoResponse response)
        {
            if (request.DelayMs > 0)
            {
                await writer.FlushAsync();
                await Task.Delay(request.DelayMs, context.Cancellation);
            }

            writer.Write(response);
            await writer.FlushIfFullAsync();
            Interlocked.Add(ref _bytesWritten, response.Payload.Length);
        }
    }

    private static void Prepare(EchoRequest request, RpcContext context)
    {
        if (request.Compress)
        {
            context.CompressResponses = true;
        }

        if (context.RequestMetadata.TryGet("x-echo-initial", out var initial) && context.ResponseHeaders.Count == 0)
        {
            context.ResponseHeaders.Add("x-echo-initial", initial);
        }

        if (context.RequestMetadata.TryGetBinary("x-echo-trailing-bin", out var trailing) && context.Trailers.Count == 0)
        {
            context.Trailers.Add("x-echo-trailing-bin", trailing);
        }
    }

    private static void ThrowIfAsked(EchoRequest request)
    {
        if (request.Fail is not { } fail)
        {
            return;
        }

        if (fail.Code == ThrowUnexpected)
        {
            throw new FormatException(fail.Message);
        }

        var trailers = new RpcMetadata();
        if (!fail.Detail.IsEmpty)
        {
            trailers.Add("echo-detail-bin", fail.Detail.Memory);
        }

        throw new RpcException((RpcCode)fail.Code, fail.Message, trailers);
    }

    private static RpcMethod<EchoRequest, EchoResponse> Of(string name) => RpcMethod<EchoRequest, EchoResponse>.Of(Descriptor, name);
}
