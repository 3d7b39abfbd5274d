using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;
using LogIndex = EventVault.Raft.LogIndex;
using Term = EventVault.Raft.Term;

namespace EventVault.Node.Tests.Peers;

/// <summary>Frames: what is written comes back, and what was garbled is refused, cheaply.</summary>
public sealed class PeerFramesTests
{
    private static readonly ReplicaId From = TestPeer.IdOf(1);
    private static readonly ReplicaId To = TestPeer.IdOf(2);

    [Fact]
    public async Task Every_field_of_every_kind_of_message_comes_back()
    {
        var random = new Random(17);
        foreach (var kind in Enum.GetValues<MessageKind>())
        {
            for (var round = 0; round < 20; round++)
            {
                var message = RandomMessage(random, kind);
                var reader = new FrameReader(new MemoryStream(await BytesOf(w => w.WriteAsync(message, CancellationToken.None))));
                var header = (await reader.ReadHeaderAsync(CancellationToken.None))!.Value;
                var read = await reader.ReadMessageAsync(header, CancellationToken.None);
                Assert.Equal(message.VaultId, read.VaultId);
                Assert.Equal(message.Raft with { Entries = [] }, read.Raft with { Entries = [] });
                Assert.Equal(message.Raft.Entries, read.Raft.Entries);
                Assert.Equal(message.Groups, read.Groups);
                Assert.Null(await reader.ReadHeaderAsync(CancellationToken.None));
            }
        }
    }

    [Fact]
    public void A_hello_comes_back()
    {
        var hello = TestPeer.HelloOf(1, start: 77) with { ClientAddress = "hôte:1", Version = "", OpenedTerm = 5, OpenedLast = ulong.MaxValue, PeerAddress = "là:2" };
        var bytes = PeerFrames.EncodeHello(hello, PeerLane.Bulk, 12345);
        var header = new FrameHeader(FrameKind.Hello, bytes.Length, 0, hello.VaultId, hello.Id, default);
        Assert.Equal((hello, PeerLane.Bulk, 12345L), PeerFrames.DecodeHello(header, bytes));
        bytes[0] = 2;
        Assert.Contains("version 2", Assert.Throws<BadFrameException>(() => PeerFrames.DecodeHello(header, bytes)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_text_of_another_node_makes_no_lines_in_a_log()
    {
        Assert.Equal("a b", PeerFrames.DecodeText("a\nb"u8));
        var text = new string('ä', PeerFrames.MostTextBytes);
        Assert.Equal(new string('ä', PeerFrames.MostTextBytes / 2), PeerFrames.DecodeText(PeerFrames.EncodeText(text)));
        Assert.Throws<BadFrameException>(() => PeerFrames.DecodeText([0xff]));
    }

    [Fact]
    public void No_kind_of_frame_may_be_longer_than_its_bound()
    {
        var bytes = new byte[FrameHeader.Bytes];
        foreach (var kind in Enum.GetValues<FrameKind>())
        {
            new FrameHeader(kind, PeerFrames.MostContentBytes(kind), 0, TestPeer.Vault, From, To).Encode(bytes);
            Assert.Equal(PeerFrames.MostContentBytes(kind), FrameHeader.Decode(bytes).Length);
            foreach (var length in (int[])[PeerFrames.MostContentBytes(kind) + 1, int.MaxValue, -1])
            {
                new FrameHeader(kind, length, 0, TestPeer.Vault, From, To).Encode(bytes);
                Assert.Throws<BadFrameException>(() => FrameHeader.Decode(bytes));
            }
        }
    }

    [Fact]
    public async Task Mutations_of_real_frames_are_read_whole_or_refused_within_bounds()
    {
        for (var seed = 0; seed < 4000; seed++)
        {
            var random = new Random(seed);
            var frames = await RandomFrames(random);
            var bytes = Mutate(random, frames);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var reading = DrainAsync(new MemoryStream(bytes));
            Assert.True(reading.IsCompleted, "It reads memory.");
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

            // What a checked length may ask for, once, and what the bytes that are there account for.
            Assert.True(allocated <= MessageCodec.MostBytes + (256 * 1024) + (8L * bytes.Length), $"Seed {seed}: {allocated} bytes were allocated for {bytes.Length}.");
            Assert.True(await reading >= 0, $"Seed {seed}");
        }
    }

    [Fact]
    public async Task A_flipped_bit_anywhere_is_noticed()
    {
        var random = new Random(5);
        var frame = await BytesOf(w => w.WriteAsync(RandomMessage(random, MessageKind.Append), CancellationToken.None));
        Assert.Equal(1, await DrainAsync(new MemoryStream(frame)));
        for (var i = 0; i < frame.Length; i++)
        {
            var bytes = frame.ToArray();
            bytes[i] ^= (byte)(1 << (i % 8));
            Assert.Equal(0, await DrainAsync(new MemoryStream(bytes)));
        }
    }

    [Fact]
    public async Task A_node_that_is_sent_rubbish_goes_on()
    {
        await using var one = await TestPeer.StartAsync(1);
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPEndPoint.Parse(one.Network.ListenAddress));
            try
            {
                await socket.SendAsync(seed % 3 == 0 ? Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\n" + new string('x', 100)) : Mutate(random, await RandomFrames(random)));
                socket.Shutdown(SocketShutdown.Send);
                await Answered(socket);
            }
            catch (SocketException)
            {
                // Closed on what came first.
            }
        }

        await one.Log.SaidAsync("no frame begins where one should");
        Assert.DoesNotContain(one.Log.Lines, l => l.Contains("This is a bug", StringComparison.Ordinal));
        Assert.Empty(one.Messages);
        await using var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        two.Send(one, 1);
        await one.GotAsync(1);
    }

    [Fact]
    public async Task Bad_bytes_behind_a_good_hello_end_that_connection_alone()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        var hello = TestPeer.HelloOf(3);
        foreach (var lane in Enum.GetValues<PeerLane>())
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPEndPoint.Parse(one.Network.ListenAddress));
            var content = PeerFrames.EncodeHello(hello, lane, 0);
            await socket.SendAsync(FrameOf(new FrameHeader(FrameKind.Hello, content.Length, Checksum.Compute(content), hello.VaultId, hello.Id, one.Id), content));

            // A frame in somebody else's name.
            var ping = new byte[PeerFrames.PingBytes];
            await socket.SendAsync(FrameOf(new FrameHeader(FrameKind.Ping, ping.Length, Checksum.Compute(ping), hello.VaultId, two.Id, one.Id), ping));
            await Answered(socket);
        }

        await one.Log.SaidAsync("said hello");
        await one.Log.SaidAsync("no place on a connection for requests");
        Assert.True(one.LinkTo(two.Id).IsConnected);
    }

    private static async Task Answered(Socket socket)
    {
        try
        {
            var buffer = new byte[4096];
            while (await socket.ReceiveAsync(buffer) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // Ended all the same.
        }
    }

    private static byte[] FrameOf(FrameHeader header, byte[] content)
    {
        var bytes = new byte[FrameHeader.Bytes + content.Length];
        header.Encode(bytes);
        content.CopyTo(bytes, FrameHeader.Bytes);
        return bytes;
    }

    // How many frames could be read before the first that is none.
    private static async Task<int> DrainAsync(Stream stream)
    {
        var reader = new FrameReader(stream);
        var count = 0;
        try
        {
            while (await reader.ReadHeaderAsync(CancellationToken.None) is { } header)
            {
                switch (header.Kind)
                {
                    case FrameKind.Message:
                        await reader.ReadMessageAsync(header, CancellationToken.None);
                        break;
                    case FrameKind.Ping or FrameKind.Pong:
                        await reader.ReadPingAsync(header, CancellationToken.None);
                        break;
                    case FrameKind.Hello or FrameKind.Welcome:
                        PeerFrames.DecodeHello(header, await reader.ReadContentAsync(header, CancellationToken.None));
                        break;
                    case FrameKind.Refusal:
                        PeerFrames.DecodeRefusal(await reader.ReadContentAsync(header, CancellationToken.None));
                        break;
                    case FrameKind.Failure:
                        PeerFrames.DecodeText(await reader.ReadContentAsync(header, CancellationToken.None));
                        break;
                    default:
                        await reader.ReadContentAsync(header, CancellationToken.None);
                        break;
                }

                count++;
            }
        }
        catch (Exception e) when (e is BadFrameException or EndOfStreamException)
        {
            // All that bad bytes may lead to.
        }

        return count;
    }

    private static async Task<byte[]> RandomFrames(Random random)
    {
        var count = random.Next(1, 5);
        return await BytesOf(async w =>
        {
            for (var i = 0; i < count; i++)
            {
                var kind = (FrameKind)random.Next(1, 10);
                switch (kind)
                {
                    case FrameKind.Message:
                        await w.WriteAsync(RandomMessage(random, (MessageKind)random.Next(1, 12)), CancellationToken.None);
                        break;
                    case FrameKind.Ping or FrameKind.Pong:
                        await w.WritePingAsync(kind, To, (ulong)random.NextInt64(), random.NextInt64(), new DiskMark(7, 8, 9), CancellationToken.None);
                        break;
                    case FrameKind.Hello or FrameKind.Welcome:
                        await w.WriteAsync(kind, To, PeerFrames.EncodeHello(TestPeer.HelloOf(1), kind == FrameKind.Hello ? PeerLane.Bulk : 0, 1), CancellationToken.None);
                        break;
                    case FrameKind.Refusal:
                        await w.WriteAsync(kind, To, PeerFrames.EncodeRefusal(new PeerRefusal("no", random.Next(2) == 0)), CancellationToken.None);
                        break;
                    default:
                        await w.WriteAsync(kind, To, PeerFrames.EncodeText(new string('t', random.Next(1, 300))), CancellationToken.None);
                        break;
                }
            }
        });
    }

    // Garbles some bytes; every other time the checksums are made to fit again, so that the fields behind them are looked at.
    private static byte[] Mutate(Random random, byte[] frames)
    {
        var bytes = frames.ToArray();
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            var at = random.Next(random.Next(2) == 0 ? bytes.Length : Math.Min(bytes.Length, FrameHeader.Bytes + MessageCodec.FixedBytes + 40));
            bytes[at] = random.Next(3) switch { 0 => (byte)random.Next(256), 1 => 0xff, _ => (byte)(bytes[at] ^ (1 << random.Next(8))) };
        }

        if (random.Next(2) == 0)
        {
            Mend(bytes);
        }

        return random.Next(4) switch
        {
            0 => bytes[..random.Next(bytes.Length)],
            1 => [.. bytes, .. frames],
            _ => bytes,
        };
    }

    private static void Mend(byte[] bytes)
    {
        for (var at = 0; at + FrameHeader.Bytes <= bytes.Length;)
        {
            var header = bytes.AsSpan(at, FrameHeader.Bytes);
            var length = BinaryPrimitives.ReadInt32LittleEndian(header[8..]);
            var content = bytes.AsSpan(at + FrameHeader.Bytes);
            content = length >= 0 && length < content.Length ? content[..length] : content;
            BinaryPrimitives.WriteUInt32LittleEndian(header[12..], Checksum.Compute(content));
            BinaryPrimitives.WriteUInt32LittleEndian(header[72..], Checksum.Compute(header[..72]));
            at += FrameHeader.Bytes + content.Length;
        }
    }

    private static PeerMessage RandomMessage(Random random, MessageKind kind)
    {
        var count = kind == MessageKind.Append ? random.Next(0, 6) : 0;
        var groups = new byte[count][];
        for (var i = 0; i < count; i++)
        {
            groups[i] = new byte[random.Next(3) == 0 ? random.Next(1, 40_000) : random.Next(1, 300)];
            random.NextBytes(groups[i]);
        }

        ulong Number() => (ulong)random.NextInt64() >> random.Next(64);
        return new PeerMessage(
            TestPeer.Vault,
            new Message(kind, From, To, new Term(Number()))
            {
                Index = new LogIndex(Number()),
                LogTerm = new Term(Number()),
                Commit = new LogIndex(Number()),
                Hint = new LogIndex(Number()),
                HintTerm = new Term(Number()),
                Read = Number(),
                Rejected = random.Next(2) == 0,
                IsTransfer = random.Next(2) == 0,
                Entries = [.. groups.Select(g => new Entry(new Term(Number()), (EntryKind)random.Next(1, 4), g.Length))],
            },
            groups);
    }

    private static async Task<byte[]> BytesOf(Func<FrameWriter, ValueTask> write)
    {
        var stream = new MemoryStream();
        var writer = new FrameWriter(stream, TestPeer.Vault, From);
        await write(writer);
        await writer.FlushAsync(CancellationToken.None);
        return stream.ToArray();
    }
}
