using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using EventVault.Rpc.Client;
using EventVault.Rpc.Server;
using EventVault.Rpc.Wire;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace EventVault.Rpc.Tests.Wire;

/// <summary>Both frame readers, without a network: however the bytes are cut, the messages are the same.</summary>
public class FrameReaderTests
{
    private const int Limit = 1000;

    public enum Side
    {
        Server,
        Client,
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task Messages_are_the_same_at_every_split(Side side)
    {
        byte[][] messages = [[1, 2, 3], [], [9]];
        var bytes = Frames(messages);
        for (var first = 0; first <= bytes.Length; first++)
        {
            for (var second = first; second <= bytes.Length; second++)
            {
                var read = await ReadAllAsync(side, [bytes[..first], bytes[first..second], bytes[second..]]);
                Assert.Equal(messages, read);
            }
        }
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task Messages_are_the_same_byte_by_byte(Side side)
    {
        byte[][] messages = [[1, 2, 3], [], [.. Enumerable.Range(0, 300).Select(i => (byte)i)]];
        Assert.Equal(messages, await ReadAllAsync(side, [.. Frames(messages).Select(b => new[] { b })]));
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task Messages_are_the_same_with_random_segments(Side side)
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var messages = Enumerable.Range(0, random.Next(1, 30)).Select(_ => Bytes(random, random.Next(0, Limit + 1))).ToArray();
            var read = await ReadAllAsync(side, Split(random, Frames(messages)));
            Assert.True(messages.Length == read.Count && messages.Zip(read).All(p => p.First.AsSpan().SequenceEqual(p.Second)), $"seed {seed}");
        }
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task A_message_of_the_limit_passes_and_one_byte_more_is_refused(Side side)
    {
        Assert.Single(await ReadAllAsync(side, [Frames([new byte[Limit]])]));
        var error = await Assert.ThrowsAsync<RpcException>(() => ReadAllAsync(side, [Frames([new byte[Limit + 1]])]));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        Assert.Contains("1001", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task A_length_of_4_GiB_is_refused_by_its_header_alone(Side side)
    {
        var error = await Assert.ThrowsAsync<RpcException>(() => ReadAllAsync(side, [[0, 0xFF, 0xFF, 0xFF, 0xFF]], endless: true));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
    }

    [Theory]
    [InlineData(Side.Server, 7)]
    [InlineData(Side.Client, 7)]
    [InlineData(Side.Server, 0x80)]
    [InlineData(Side.Client, 0x80)]
    public async Task An_unknown_flag_is_internal(Side side, byte flag)
    {
        var error = await Assert.ThrowsAsync<RpcException>(() => ReadAllAsync(side, [[flag, 0, 0, 0, 1, 1]]));
        Assert.Equal(RpcCode.Internal, error.Code);
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task A_compressed_message_without_an_encoding_is_internal(Side side)
    {
        var error = await Assert.ThrowsAsync<RpcException>(() => ReadAllAsync(side, [[1, 0, 0, 0, 1, 1]]));
        Assert.Equal(RpcCode.Internal, error.Code);
    }

    [Theory]
    [InlineData(Side.Server)]
    [InlineData(Side.Client)]
    public async Task An_end_inside_header_or_message_is_internal(Side side)
    {
        var whole = Frames([[1, 2, 3], [4, 5]]);
        foreach (var cut in Enumerable.Range(0, whole.Length).Where(i => i is not (0 or 8)))
        {
            var error = await Assert.ThrowsAsync<RpcException>(() => ReadAllAsync(side, [whole[..cut]]));
            Assert.Equal(RpcCode.Internal, error.Code);
        }
    }

    [Fact]
    public async Task A_declared_length_alone_makes_the_client_hold_no_memory()
    {
        var pool = new BufferPool();
        var header = new byte[Framing.HeaderBytes];
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(1), 900 << 20);
        var frames = new ResponseFrames(new PiecewiseStream([header]), pool, BufferPool.SmallBytes, int.MaxValue, gzip: false);
        var before = GC.GetAllocatedBytesForCurrentThread();
        await Assert.ThrowsAsync<RpcException>(async () => await frames.TakeAsync(CancellationToken.None));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        frames.Return();
        Assert.Equal(0, pool.Rented);
    }

    [Fact]
    public async Task A_connection_that_breaks_between_two_reads_is_a_client_that_has_gone()
    {
        foreach (var (another, why) in new (bool, Exception)[] { (true, new IOException()), (false, new IOException()), (true, new ConnectionAbortedException()), (false, new ConnectionAbortedException()) })
        {
            var pipe = new Pipe();
            await pipe.Writer.WriteAsync(Frames([[1, 2, 3]]));
            var context = new RpcContext(new RpcServer(), new RpcServerOptions(), new DefaultHttpContext(), "/test", null, requestIsGzip: false);
            var reader = new RpcFrameReader(context, new BrokenReader(pipe.Reader, why), Limit, gzip: false);
            Assert.True(await reader.ReadFrameAsync());
            if (another)
            {
                await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reader.ReadFrameAsync());
            }

            reader.Release();
            Assert.Null(context.WhyCancelled());
        }
    }

    internal static byte[] Frames(IEnumerable<byte[]> messages)
    {
        var all = new ArrayBufferWriter<byte>();
        foreach (var message in messages)
        {
            Framing.WriteHeader(all.GetSpan(Framing.HeaderBytes), compressed: false, message.Length);
            all.Advance(Framing.HeaderBytes);
            all.Write(message);
        }

        return all.WrittenSpan.ToArray();
    }

    internal static List<byte[]> Split(Random random, byte[] bytes)
    {
        var pieces = new List<byte[]>();
        for (var at = 0; at < bytes.Length;)
        {
            var length = Math.Min(bytes.Length - at, random.Next(1, 200));
            pieces.Add(bytes[at..(at + length)]);
            at += length;
        }

        return pieces;
    }

    internal static async Task<List<byte[]>> ReadAllAsync(Side side, IReadOnlyList<byte[]> pieces, bool endless = false)
    {
        var result = new List<byte[]>();
        if (side == Side.Client)
        {
            var pool = new BufferPool();
            var frames = new ResponseFrames(new PiecewiseStream(pieces), pool, 16, Limit, gzip: false);
            try
            {
                while (await frames.TakeAsync(CancellationToken.None))
                {
                    result.Add(frames.Message.ToArray());
                }
            }
            finally
            {
                frames.Return();
                Assert.Equal(0, pool.Rented);
            }

            return result;
        }

        var pipe = new Pipe(new PipeOptions(minimumSegmentSize: 1, useSynchronizationContext: false));
        foreach (var piece in pieces)
        {
            await pipe.Writer.WriteAsync(piece);
        }

        if (!endless)
        {
            await pipe.Writer.CompleteAsync();
        }

        var context = new RpcContext(new RpcServer(), new RpcServerOptions(), new DefaultHttpContext(), "/test", null, requestIsGzip: false);
        var reader = new RpcFrameReader(context, pipe.Reader, Limit, gzip: false);
        while (await reader.ReadFrameAsync())
        {
            result.Add(reader.Message.ToArray());
        }

        reader.Release();
        return result;
    }

    private static byte[] Bytes(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    // As Kestrel's is behind a fault of the connection.
    private sealed class BrokenReader(PipeReader inner, Exception why) : PipeReader
    {
        public override void AdvanceTo(SequencePosition consumed) => throw why;

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => AdvanceTo(consumed);

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => inner.ReadAsync(cancellationToken);

        public override bool TryRead(out ReadResult result) => inner.TryRead(out result);
    }

    private sealed class PiecewiseStream(IReadOnlyList<byte[]> pieces) : Stream
    {
        private int _piece;
        private int _at;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(Span<byte> buffer)
        {
            while (_piece < pieces.Count && _at == pieces[_piece].Length)
            {
                _piece++;
                _at = 0;
            }

            if (_piece == pieces.Count)
            {
                return 0;
            }

            var count = Math.Min(buffer.Length, pieces[_piece].Length - _at);
            pieces[_piece].AsSpan(_at, count).CopyTo(buffer);
            _at += count;
            return count;
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(Read(buffer.Span));

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
