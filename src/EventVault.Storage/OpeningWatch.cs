// What an opening is at, for whoever waits for it, and the way to end it before it is done: with much to install or to index it takes minutes.
// It may be ended between any two steps, as a crash may come there.
namespace EventVault.Storage;

/// <summary>Looks at one opening from outside. Thread-safe.</summary>
/// <param name="cancellation">Ends the opening: it throws <see cref="OperationCanceledException"/> and leaves what the next one goes on from.</param>
public sealed class OpeningWatch(CancellationToken cancellation)
{
    private At _at = new("begins", 0, 0);

    /// <summary>Ends the opening.</summary>
    public CancellationToken Cancellation => cancellation;

    /// <summary>What it is doing, for people, such as <c>indexes segment 12 of 400</c>.</summary>
    public string Doing
    {
        get
        {
            var at = Volatile.Read(ref _at);
            return at.All == 0 ? at.What : $"{at.What} {at.Number} of {at.All}";
        }
    }

    /// <summary>Another thing is being done.</summary>
    /// <param name="what">What, for people.</param>
    /// <exception cref="OperationCanceledException">The opening is to end.</exception>
    public void Begin(string what) => Begin(what, 0, 0);

    /// <summary>The next of several equal things is being done.</summary>
    /// <param name="what">What, for people.</param>
    /// <param name="number">The how manieth, from 1.</param>
    /// <param name="all">Of how many.</param>
    /// <exception cref="OperationCanceledException">The opening is to end.</exception>
    public void Begin(string what, long number, long all)
    {
        Check();
        Volatile.Write(ref _at, new At(what, number, all));
    }

    /// <summary>Within what takes long.</summary>
    /// <exception cref="OperationCanceledException">The opening is to end.</exception>
    public void Check() => cancellation.ThrowIfCancellationRequested();

    private sealed record At(string What, long Number, long All);
}
