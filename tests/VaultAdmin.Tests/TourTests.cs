using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;
using EventVault.Client;

namespace EventVault.Admin.Tests;

/// <summary>docs/TOUR.md does what it shows: its commands print what stands below them, and its C# is compiled and run.</summary>
public sealed partial class TourTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    private static Document Shown { get; } = new("docs", "TOUR.md");

    // Other times will stand there whenever it is run.
    [GeneratedRegex(@"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")]
    private static partial Regex Time();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public async Task Its_commands_print_what_it_shows()
    {
        var shown = Shown.Commands();
        Assert.True(shown.Count > 15, $"Only {shown.Count} commands were found: has the form of the blocks changed?");
        var ran = await DocumentShell.RunAsync(shown);
        for (var i = 0; i < shown.Count; i++)
        {
            Assert.Equal($"$ {shown[i].Command}\n{Time().Replace(shown[i].Output, "TIME")}", $"$ {shown[i].Command}\n{Time().Replace(ran[i].Printed, "TIME")}");
        }
    }

    [Fact]
    public void Its_code_is_what_is_compiled_here() => Assert.Equal(Document.Compiled("Tour.cs"), Shown.Code());

    [Fact]
    public async Task Its_code_runs()
    {
        await using var node = await TestNode.NewAsync();
        await using var vault = VaultClient.Connect(node.Endpoint);
        await Tour.BookAsync(vault);
        var invoiced = await Assert.ThrowsAsync<WrongExpectedVersionException>(() => Tour.BookAsync(vault));
        Assert.Equal("invoice-7", invoiced.Stream);
        Assert.Equal(1ul, (await vault.CountEventsAsync(EventFilter.OfCategory("train"))).Count);

        File.Delete(_file);
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        await PlaceAsync("order-1", "ada", 1.5m);
        Assert.Equal(1.5m, (await Tour.FollowAsync(vault, _file, limit.Token)).ByCustomer["ada"]);
        await PlaceAsync("order-2", "ada", 2m);
        await PlaceAsync("order-3", "grace", 4m);

        // It goes on where it was: what had gone into it does so once.
        var later = await Tour.FollowAsync(vault, _file, limit.Token);
        Assert.Equal((3.5m, 4m, 4ul), (later.ByCustomer["ada"], later.ByCustomer["grace"], later.Position));
        Assert.Equal(later.ByCustomer, Turnover.Load(_file).ByCustomer);

        Task PlaceAsync(string stream, string customer, decimal total) =>
            vault.AppendAsync(stream, ExpectedVersion.NoStream, EventData.Json("OrderPlaced", new { customer, total }));
    }
}
