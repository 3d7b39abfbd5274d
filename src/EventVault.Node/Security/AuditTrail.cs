// Every administrative act is an event of the stream `$audit`, written before the act is tried: so none is done without it, and one that is
// refused later is there, too. What became of it is seen where the act shows: its own event has the operation id that stands here.
//
//   type $act, schema version 1: {"user":"alice","from":"10.0.0.9:51344","call":"Streams/DeleteStream","request":{…}}
//
// Passwords are left out, and so is a request that is longer than anybody reads.
using System.Buffers;
using System.Text;
using System.Text.Json;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using Google.Protobuf;

namespace EventVault.Node.Security;

/// <summary>Records administrative acts. Safe for concurrent use.</summary>
internal sealed class AuditTrail(SingleAppends appends, NodeLimits limits, NodeOptions options)
{
    private const uint Schema = 1;

    /// <summary>A longer request is told by its length: definitions of reducers are read where they are kept.</summary>
    private const int MostRequestBytes = 4096;

    private static ReadOnlySpan<byte> Stream => "$audit"u8;

    private static ReadOnlySpan<byte> Type => "$act"u8;

    /// <summary>Records one.</summary>
    /// <param name="caller">Who.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="context">The call.</param>
    /// <exception cref="Rpc.RpcException">It is malformed, or could not be recorded, and must not be done.</exception>
    public async ValueTask RecordAsync(Caller caller, IMessage request, RpcContext context)
    {
        var append = appends.New(context);
        Check(request);
        append.Content.Reset([]);
        append.Content.OperationId = System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(Guid.CreateVersion7().ToByteArray(bigEndian: true));
        append.Content.SetVaultEvent(Stream, Type, Schema, Encode(caller, WithoutSecrets(request), context));
        await appends.RecordAsync(append);
    }

    // What can't be meant is refused before it is written down, as its handler would do: nothing ever takes an event of this stream away.
    private void Check(IMessage request)
    {
        if (request.Descriptor.FindFieldByName("operation_id") is { } id)
        {
            StreamChangeRequests.OperationId((ByteString)id.Accessor.GetValue(request));
        }

        if (request.Descriptor.FindFieldByName("stream") is { } stream)
        {
            StreamNames.Check((string)stream.Accessor.GetValue(request), limits);
        }
    }

    private byte[] Encode(Caller caller, IMessage request, RpcContext context)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("user", caller.Name);
            json.WriteString("from", context.Peer);
            json.WriteString("call", context.Method[(context.Method.LastIndexOf('.') + 1)..]);
            if (Math.Min(MostRequestBytes, options.Limits.EventBytes / 2) is var most && request.CalculateSize() <= most
                && JsonFormatter.Default.Format(request) is var text && Encoding.UTF8.GetByteCount(text) <= most)
            {
                json.WritePropertyName("request");
                json.WriteRawValue(text);
            }
            else
            {
                json.WriteNumber("requestBytes", request.CalculateSize());
            }

            json.WriteEndObject();
        }

        return bytes.WrittenSpan.ToArray();
    }

    private static IMessage WithoutSecrets(IMessage request)
    {
        if (request is not SetUserRequest user)
        {
            return request;
        }

        var told = user.Clone();
        told.ClearPassword();
        return told;
    }
}
