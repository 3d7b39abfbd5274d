using System.Text.RegularExpressions;

namespace EventVault.Storage.Tests.Io;

/// <summary>Decision 0003: .NET's own flushes lose errors, so the product must not call them.</summary>
public sealed partial class ManagedFlushTests
{
    [Fact]
    public void The_product_calls_none_of_them()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root!.FullName, "EventVault.sln")))
        {
            root = root.Parent;
        }

        var sources = new[] { "src", "tools" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(root.FullName, folder), "*.cs", SearchOption.AllDirectories))
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal))
            .ToList();
        Assert.Contains(sources, path => path.EndsWith("NativeFile.cs", StringComparison.Ordinal));
        Assert.DoesNotContain(sources, path => ErrorLosingFlush().IsMatch(File.ReadAllText(path)));
    }

    [Theory]
    [InlineData("stream.Flush(true);", true)]
    [InlineData("stream.Flush( flushToDisk: durable )", true)]
    [InlineData("RandomAccess.FlushToDisk(handle)", true)]
    [InlineData("File.OpenHandle(path, options: FileOptions.WriteThrough)", true)]
    [InlineData("stream.Flush()", false)]
    [InlineData("file.Flush();", false)]
    public void The_check_knows_them(string source, bool expected) => Assert.Equal(expected, ErrorLosingFlush().IsMatch(source));

    // WriteThrough with them: it opens O_SYNC, which is no replacement for a flush that is counted and checked.
    [GeneratedRegex(@"\bFlushToDisk\s*\(|\bflushToDisk\s*:|\bFlush\s*\(\s*true\b|\bFileOptions\.WriteThrough\b")]
    private static partial Regex ErrorLosingFlush();
}
