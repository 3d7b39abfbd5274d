using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

public sealed class SegmentWindowTests : IDisposable
{
    private const int Piece = SegmentWindow.PieceBytes;
    private readonly string _folder = Directory.CreateDirectory(Path.Combine(AppContext.BaseDirectory, "eventvault-" + Guid.NewGuid().ToString("N"))).FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(false, true)]
    public void However_it_is_gone_over_it_gives_the_bytes_of_the_file(bool isCached, bool isSimulated)
    {
        var random = new Random(1);
        var content = new byte[(7 * Piece) + 12_345];
        random.NextBytes(content);
        IFileSystem files = isSimulated ? new SimulatedFileSystem() : new NativeFileSystem();
        using var file = NewFile(files, content);
        for (var round = 0; round < 40; round++)
        {
            var limit = random.Next(4) == 0 ? random.Next(content.Length) : content.Length - 4096;
            var window = new SegmentWindow(file, limit, isCached);
            var most = round % 3 == 0 ? 3 * Piece : round % 3 == 1 ? Piece / 2 : 3000;
            for (var (offset, steps) = (0, 0); offset < limit && steps < 2000; steps++)
            {
                var length = random.Next(most);
                var isThere = window.TryBytes(offset, length, out var bytes);
                Assert.Equal(offset + length <= limit, isThere);
                Assert.True(bytes.SequenceEqual(content.AsSpan(offset, isThere ? length : 0)));
                offset = random.Next(50) == 0 ? random.Next(limit) : offset + random.Next(length + 8);
            }
        }
    }

    [Fact]
    public void A_file_that_is_shorter_than_it_should_be_ends_where_it_ends()
    {
        var content = new byte[(3 * Piece) + 777];
        new Random(2).NextBytes(content);
        using var file = NewFile(new NativeFileSystem(), content);
        var window = new SegmentWindow(file, 10 * Piece, isCached: false);
        for (var offset = 0; offset + 1000 <= content.Length; offset += 1000)
        {
            Assert.True(window.TryBytes(offset, 1000, out var bytes) && bytes.SequenceEqual(content.AsSpan(offset, 1000)));
        }

        Assert.True(window.TryBytes(content.Length - 7, 7, out var last) && last.SequenceEqual(content.AsSpan(content.Length - 7)));
        Assert.False(window.TryBytes(content.Length - 7, 8, out _));
    }

    [Fact]
    public void A_failed_read_ahead_is_told_where_its_bytes_are_wanted_and_only_there()
    {
        var files = new SimulatedFileSystem();
        using var file = NewFile(files, new byte[5 * Piece]);
        var window = new SegmentWindow(file, 5 * Piece, isCached: false);
        files.FailingRead.StrikeAt(3);

        Assert.True(window.TryBytes(0, 8, out _));
        Assert.True(window.TryBytes(Piece, 8, out _));
        Assert.Equal(0, files.FailingRead.Strikes);
        Assert.True(window.TryBytes((2 * Piece) - 8, 8, out _)); // It goes on, so the third piece is read ahead.
        Assert.Equal(1, files.FailingRead.Strikes);
        Assert.Throws<DiskException>(() => window.TryBytes(2 * Piece, 8, out _));
    }

    [Fact]
    public void What_was_read_ahead_when_it_was_to_end_decides_nothing()
    {
        var files = new SimulatedFileSystem();
        using var file = NewFile(files, new byte[5 * Piece]);
        var window = new SegmentWindow(file, 5 * Piece, isCached: false);
        files.FailingRead.StrikeAt(3);
        Assert.True(window.TryBytes(0, 8, out _) && window.TryBytes(Piece, 8, out _) && window.TryBytes(Piece, 16, out _));
        Assert.Equal(1, files.FailingRead.Strikes);

        window.EndReads();

        Assert.True(window.TryBytes(2 * Piece, 8, out _));
    }

    private IFile NewFile(IFileSystem files, byte[] content)
    {
        files.CreateDirectory(_folder);
        var file = files.OpenFile(Path.Combine(_folder, Guid.NewGuid().ToString("N")), FileOpening.New);
        file.Write(0, content);
        file.Flush();
        return file;
    }
}
