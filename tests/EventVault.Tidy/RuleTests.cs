// Every rule is shown something that breaks it and something that almost does: a rule that cannot fail guards nothing.
using EventVault.Tidy.Rules;

namespace EventVault.Tidy;

public class RuleTests
{
    private const string Glossary = """
        | Term | Meaning | Never |
        |---|---|---|
        | stream | events under one name | topic, sequence number |
        | group | appends flushed together | batch, flight (as names) |
        | cut | a moment | |
        | state snapshot | cached fold | snapshot (bare) |
        """;

    [Theory]
    [InlineData("EventVault.Storage", "../EventVault.Rpc/EventVault.Rpc.csproj", false)]
    [InlineData("EventVault.Raft", "../EventVault.Storage/EventVault.Storage.csproj", false)]
    [InlineData("EventVault.Node", "../EventVault.Raft/EventVault.Raft.csproj", true)]
    [InlineData("EventVault.Rpc", "../EventVault.Protocol/EventVault.Protocol.csproj", false)]
    [InlineData("EventVault.Client", "../EventVault.Rpc.Server/EventVault.Rpc.Server.csproj", false)]
    [InlineData("EventVault.Client", "..\\EventVault.Rpc\\EventVault.Rpc.csproj", true)]
    [InlineData("EventVault.Common", "../EventVault.Rpc/EventVault.Rpc.csproj", false)]
    public void Project_references_follow_the_graph(string project, string reference, bool allowed)
    {
        var file = new SourceFile($"src/{project}/{project}.csproj", $"<Project>\n<ItemGroup>\n<ProjectReference Include=\"{reference}\" />\n</ItemGroup>\n</Project>");
        AssertFails(!allowed, ProjectReferences.Check(file));
    }

    [Theory]
    [InlineData("../Shared/Invariant.cs", true)]
    [InlineData("../Shared/Canary.cs", true)]
    [InlineData("../EventVault.Storage/Checksum.cs", false)]
    public void Two_source_files_are_shared(string path, bool allowed)
    {
        var file = new SourceFile("src/EventVault.Node/EventVault.Node.csproj", $"<Project><ItemGroup><Compile Include=\"{path}\" Link=\"X.cs\" /></ItemGroup></Project>");
        AssertFails(!allowed, ProjectReferences.Check(file));
    }

    [Fact]
    public void A_project_outside_the_solution_is_found()
    {
        var solution = new SourceFile("EventVault.sln", "Project(\"{X}\") = \"A\", \"src\\A\\A.csproj\", \"{Y}\"");
        AssertFails(false, ProjectReferences.CheckSolution([new SourceFile("src/A/A.csproj", "")], solution));
        AssertFails(true, ProjectReferences.CheckSolution([new SourceFile("src/B/A.csproj", "")], solution));
    }

    [Theory]
    [InlineData("src/EventVault.Node/X.cs", "internal unsafe class X", true)]
    [InlineData("src/EventVault.Storage/Log/X.cs", "[LibraryImport(\"libc\")]", true)]
    [InlineData("src/EventVault.Storage/Io/X.cs", "internal unsafe class X", false)]
    [InlineData("src/EventVault.Node/X.cs", "// unsafe is for Storage/Io", false)]
    [InlineData("src/EventVault.Node/X.cs", "Say(\"unsafe\");", false)]
    [InlineData("src/EventVault.Node/EventVault.Node.csproj", "<AllowUnsafeBlocks>true</AllowUnsafeBlocks>", true)]
    [InlineData("src/EventVault.Storage/EventVault.Storage.csproj", "<AllowUnsafeBlocks>true</AllowUnsafeBlocks>", false)]
    public void Unsafe_code_is_found(string path, string text, bool fails) => AssertFails(fails, UnsafeCode.Check(new SourceFile(path, text)));

    [Theory]
    [InlineData("// the topic of the day", true)]
    [InlineData("int topicCount;", true)]
    [InlineData("const int MaxTopics = 3;", true)]
    [InlineData("bytes BATCH_SIZE", true)]
    [InlineData("the sequence number", true)]
    [InlineData("the sequenceNumber", true)]
    [InlineData("a snapshot", true)]
    [InlineData("a state snapshot, a StateSnapshot, state_snapshots", false)]
    [InlineData("class InFlightGroup // what is in flight", false)]
    [InlineData("a flight of appends", true)]
    [InlineData("topical", false)]
    [InlineData("the cut", false)]
    [InlineData("bytes.Chunk(4)", false)]
    public void Forbidden_words_are_found(string text, bool fails) =>
        AssertFails(fails, new ForbiddenWords(new SourceFile(ForbiddenWords.Glossary, Glossary)).Check(new SourceFile("src/X.cs", text)));

    [Fact]
    public void The_glossary_has_words_to_forbid() =>
        Assert.True(new ForbiddenWords(SourceTree.Repository.File(ForbiddenWords.Glossary)).Count >= 16);

    [Theory]
    [InlineData("src/X/StringHelper.cs", true)]
    [InlineData("src/X/IoUtils.cs", true)]
    [InlineData("src/X/SessionManager.cs", true)]
    [InlineData("src/X/CommonTypes.cs", true)]
    [InlineData("src/X/Utilization.cs", false)]
    [InlineData("src/X/CommitSignal.cs", false)]
    [InlineData("src/EventVault.Core/EventVault.Core.csproj", true)]
    public void Empty_names_are_found(string path, bool fails) => AssertFails(fails, FileNames.Check(new SourceFile(path, "")));

    [Fact]
    public void Long_files_are_found()
    {
        AssertFails(false, FileSizes.Check(File(FileSizes.MostLines)));
        AssertFails(true, FileSizes.Check(File(FileSizes.MostLines + 1)));
        AssertFails(false, FileSizes.CheckAll([File(10), File(FileSizes.MedianLines), File(300)]));
        AssertFails(true, FileSizes.CheckAll([File(10), File(FileSizes.MedianLines + 1), File(300)]));

        static SourceFile File(int lines) => new("src/X.cs", string.Concat(Enumerable.Repeat("x\n", lines)));
    }

    [Theory]
    [InlineData("void M()", MethodSizes.MostLines - 2, false)]
    [InlineData("void M()", MethodSizes.MostLines - 1, true)]
    [InlineData("class C(int x)", MethodSizes.MostLines, false)]
    [InlineData("string S =>", MethodSizes.MostLines, false)]
    public void Long_methods_are_found(string header, int lines, bool fails) => AssertFails(fails, MethodSizes.Check(
        new SourceFile("src/X.cs", $"namespace N;\nclass D\n{{\n{header}\n{{\n{string.Concat(Enumerable.Repeat("Go(\"}\"); // }\n", lines))}}}\n}}\n")));

    [Theory]
    [InlineData("[a](other.md)", false)]
    [InlineData("[a](missing.md)", true)]
    [InlineData("[a](../src/X.cs)", false)]
    [InlineData("[a](../../outside.md)", true)]
    [InlineData("[a](other.md#a-heading)", false)]
    [InlineData("[a](other.md#no-heading)", true)]
    [InlineData("[a](#here-too)", false)]
    [InlineData("[a](https://example.org/missing.md)", false)]
    public void Dead_links_are_found(string text, bool fails)
    {
        var file = new SourceFile("docs/this.md", "## Here, too\n" + text);
        var other = new SourceFile("docs/other.md", "# A heading!\n");
        HashSet<string> paths = ["docs/this.md", "docs/other.md", "src/X.cs"];
        AssertFails(fails, DocLinks.CheckLinks(file, paths, path => path == other.Path ? other : path == file.Path ? file : null));
    }

    [Theory]
    [InlineData("docs/this.md", "see `src/X.cs` and `src/X`", false)]
    [InlineData("docs/this.md", "see `src/Y.cs`", true)]
    [InlineData("docs/this.md", "see `src/*/Y.cs`", false)]
    [InlineData("src/X.cs", "// see docs/GONE.md", true)]
    [InlineData("src/X.cs", "// see docs/this.md", false)]
    public void Dead_mentions_are_found(string path, string text, bool fails) =>
        AssertFails(fails, DocLinks.CheckMentions(new SourceFile(path, text), new HashSet<string> { "docs/this.md", "src/X.cs" }));

    [Theory]
    [InlineData("see `XTests.It_holds`", false)]
    [InlineData("see `XTests.It_held`", true)]
    [InlineData("see `YTests.It_holds`", true)]
    [InlineData("`XTests` prove it", false)]
    public void Proofs_that_are_gone_are_found(string text, bool fails) =>
        AssertFails(fails, NamedTests.Check(new SourceFile("docs/x.md", text), [new SourceFile("tests/A/XTests.cs", "    public void It_holds()")]));

    [Fact]
    public void Incomplete_unlinked_and_doubled_decisions_are_found()
    {
        const string Whole = "## Context\n## Decision\n## Consequences\n## Rejected\n";
        var reader = new SourceFile("docs/ARCHITECTURE.md", "[x](decisions/0001-a.md) [y](decisions/0001-b.md)");
        var record = new SourceFile("docs/decisions/0001-a.md", Whole);
        AssertFails(false, Decisions.Check([record], [reader]));
        AssertFails(true, Decisions.Check([new SourceFile("docs/decisions/0002-c.md", Whole)], [reader]));
        AssertFails(true, Decisions.Check([new SourceFile("docs/decisions/0001-a.md", "## Context\n")], [reader]));
        AssertFails(true, Decisions.Check([record, new SourceFile("docs/decisions/0001-b.md", Whole)], [reader]));
    }

    [Theory]
    [InlineData("stream.Flush(true);", true)]
    [InlineData("stream.Flush(flushToDisk: true);", true)]
    [InlineData("RandomAccess.FlushToDisk(handle);", true)]
    [InlineData("new FileStream(path, FileOptions.WriteThrough)", true)]
    [InlineData("file.Flush();", false)]
    [InlineData("// never Flush(true)", false)]
    public void Managed_flushes_are_found(string text, bool fails) => AssertFails(fails, Durability.Check(new SourceFile("src/X.cs", text)));

    [Theory]
    [InlineData("var x = task.Result;", true)]
    [InlineData("task.Wait();", true)]
    [InlineData("task.GetAwaiter().GetResult();", true)]
    [InlineData("private async void Run()", true)]
    [InlineData("var s = $\"{task.Result}\";", true)]
    [InlineData("var s = $\"\"\"{task.Result}\"\"\";", true)]
    [InlineData("await task; // not .Result", false)]
    [InlineData("Say(\".Result\", '\"', \"task.Wait()\");", false)]
    [InlineData("task.ResultCode();", false)]
    public void Blocking_is_found(string text, bool fails) => AssertFails(fails, Blocking.Check(new SourceFile("src/X.cs", text)));

    [Theory]
    [InlineData("private const int MostInFlight = 2;", true)]
    [InlineData("/// <summary>Why.</summary>\nprivate const int MostInFlight = 2;", false)]
    [InlineData("private const int Most = 8; // Each holds 2 MiB.", false)]
    [InlineData("// Why both.\nprivate const int MostAppends = 2;\nprivate const int MostBytes = 2;", false)]
    [InlineData("private const int Slots = 2;\nprivate const int MostBytes = 2;", true)]
    [InlineData("private const string Name = \"x\";", false)]
    public void Limits_without_a_reason_are_found(string text, bool fails) => AssertFails(fails, Limits.Check(new SourceFile("src/X.cs", text)));

    [Theory]
    [InlineData("src/Known.cs", "lock (_gate)", false)]
    [InlineData("src/Unknown.cs", "lock (_gate)", true)]
    [InlineData("src/Unknown.cs", "new SemaphoreSlim(1)", true)]
    [InlineData("src/Unknown.cs", "block (x)", false)]
    public void Locks_without_an_order_are_found(string path, string text, bool fails) =>
        AssertFails(fails, Locks.Check(new SourceFile(path, text), new SourceFile("docs/THREADING.md", "1. `Known`")));

    [Theory]
    [InlineData("| ABORTED | `LATE` | x |", false)]
    [InlineData("| INTERNAL | `LATE` | x |", true)]
    [InlineData("| ABORTED | `EARLY` | x |", true)]
    public void Undocumented_errors_are_found(string row, bool fails) => AssertFails(fails, Contracts.CheckErrors(
        new SourceFile("errors.proto", "  REASON_UNSPECIFIED = 0;\n\n  // ABORTED\n  REASON_LATE = 1;  // why"), new SourceFile("docs/PROTOCOL.md", row)));

    [Theory]
    [InlineData("| ABORTED | `LATE` | x |\n| `TIMED_OUT` | x |", false)]
    [InlineData("| ABORTED | `LATE` | x |", true)]
    [InlineData("| ABORTED | `LATE` | x |\n| `TIMED_OUT` | x |\n| ABORTED | `EARLY` | x |", true)]
    [InlineData("| `TIMED_OUT` | x |\n| `GONE` | x |", true)]
    public void Rows_that_are_missing_or_too_many_in_the_reference_of_errors_are_found(string rows, bool fails) => AssertFails(fails, Contracts.CheckErrorReference(
        new SourceFile("errors.proto", "  REASON_LATE = 1;"), new SourceFile("VaultErrorCode.cs", "    Late = 1,\n    TimedOut = 101,"), new SourceFile("docs/ERRORS.md", rows)));

    [Theory]
    [InlineData("docs/TOUR.md", "```sh\nls\n```", false)]
    [InlineData("docs/TOUR.md", "```json\n{}\n```", true)]
    [InlineData("docs/X.md", "```sh\nls\n```", true)]
    [InlineData("docs/X.md", "```\nls\n```\ntext\n```csharp\nx\n```", true)]
    [InlineData("docs/X.md", "```\nls\n```", false)]
    [InlineData("docs/X.md", "<!-- shown: it needs a machine of its own -->\n```sh\nls\n```", false)]
    [InlineData("docs/X.md", "<!-- shown: no -->\n```sh\nls\n```", true)]
    [InlineData("docs/TEMPORAL.md", "```sh\nls\n```", true)]
    public void Code_blocks_that_nobody_runs_are_found(string path, string text, bool fails) =>
        AssertFails(fails, CodeBlocks.Check(new SourceFile(path, text), [new SourceFile("tests/X.Tests/TourTests.cs", "Read(\"TOUR.md\")"), new SourceFile("tests/X.Tests/TemporalTourTests.cs", "")]));

    [Theory]
    [InlineData("| `port` | 7400 | x |", false)]
    [InlineData("| x | `port` | y |", true)]
    [InlineData("`port`", true)]
    public void Undocumented_settings_are_found(string row, bool fails) => AssertFails(fails, Contracts.CheckSettings(
        new SourceFile("NodeSettings.cs", "        new(\"port\", \"N\", \"the port\"),"), new SourceFile("docs/OPERATIONS.md", row)));

    [Theory]
    [InlineData("| `type_bytes`, `tag_bytes` | 1 | x |", false)]
    [InlineData("| `type_bytes` | `tag_bytes` | x |", true)]
    public void Undocumented_limits_are_found(string row, bool fails) => AssertFails(fails, Contracts.CheckLimits(
        new SourceFile("NodeLimits.cs", "new(\"type_bytes\", 1),\npublic const string TagBytes = \"tag_bytes\";"), new SourceFile("docs/PROTOCOL.md", row)));

    [Theory]
    [InlineData("| 7 | in use | |", false)]
    [InlineData("| 7 | | in use |", true)]
    [InlineData("| 8 | in use | |", true)]
    public void Undocumented_exit_codes_are_found(string row, bool fails) => AssertFails(fails, Contracts.CheckExitCodes(
        new SourceFile("ExitCode.cs", "    public const int InUse = 7;"), new SourceFile("docs/OPERATIONS.md", row), column: 1));

    [Fact]
    public void Code_without_checks_is_found()
    {
        AssertFails(true, Invariants.Check("src", [new SourceFile("src/X.cs", string.Concat(Enumerable.Repeat("x\n", 1000)))]));
        AssertFails(false, Invariants.Check("src", [new SourceFile("src/X.cs", string.Concat(Enumerable.Repeat("Invariant.Check(x);\n\n\n", 9)))]));
    }

    [Theory]
    [InlineData("a.md", "see /work/main/x", true)]
    [InlineData("a.md", "see /home/someone/x", true)]
    [InlineData("a.md", "see ../shared/research/storage.md", true)]
    [InlineData("a.cs", "// DESIGN.md §3", true)]
    [InlineData("a.csproj", "../Shared/Invariant.cs", false)]
    [InlineData("a.md", "https://example.org/work/x", false)]
    [InlineData("NuGet.Config", "<add value=\"https://example.org/index.json\" />", true)]
    [InlineData("x/.npmrc", "audit=false", false)]
    [InlineData("x/.npmrc", "registry=https://example.org/", true)]
    [InlineData("x/package-lock.json", "\"resolved\": \"https://example.org/a.tgz\"", true)]
    [InlineData("x/package-lock.json", "\"integrity\": \"sha512-x\"", false)]
    public void Pointers_out_of_the_repository_are_found(string path, string text, bool fails) =>
        AssertFails(fails, Portability.Check(new SourceFile(path, text)));

    [Theory]
    [InlineData("// TODO: the rest", true)]
    [InlineData("throw new NotImplementedException();", true)]
    [InlineData("good enough for now", true)]
    [InlineData("[Fact(Skip = \"flaky\")]", true)]
    [InlineData("nothing to do", false)]
    public void Unfinished_work_is_found(string text, bool fails) => AssertFails(fails, Unfinished.Check(new SourceFile("src/X.cs", text)));

    [Fact]
    public void A_readme_without_its_commands_is_found()
    {
        var good = $"# X\n```sh\n{Readme.CommandOne}\n{Readme.CommandTwo}   # the tests\n```\n";
        AssertFails(false, Readme.Check(new SourceFile("README.md", good)));
        AssertFails(true, Readme.Check(new SourceFile("README.md", good.Replace(Readme.CommandOne, "make"))));
        AssertFails(true, Readme.Check(new SourceFile("README.md", good.Replace(Readme.CommandTwo, "make test"))));
        AssertFails(true, Readme.Check(new SourceFile("README.md", good + new string('\n', Readme.MostLines))));
        AssertFails(true, Readme.Check(new SourceFile("README.md", "# X\n")));
    }

    [Theory]
    [InlineData("a \"b\" c", "a     c")]
    [InlineData("a \"\\\"\" c", "a      c")]
    [InlineData("a @\"\"\"b\" c", "a        c")]
    [InlineData("a /* b */ c // d", "a         c     ")]
    [InlineData("a $\"x{y[\"z\"]}w\" c", "a     y[   ]    c")]
    [InlineData("a $\"{{x}}\" c", "a          c")]
    [InlineData("a '\"' c", "a     c")]
    public void Text_is_told_from_code(string text, string code) => Assert.Equal(code, CSharpCode.WithoutText(text));

    [Fact]
    public void A_violation_says_where_it_is() => Assert.Equal("a/b.cs:3: mend it", new Violation("a/b.cs", 3, "mend it").ToString());

    private static void AssertFails(bool fails, IEnumerable<Violation> violations)
    {
        var found = violations.ToList();
        Assert.True(found.Count > 0 == fails, fails ? "Nothing was found." : string.Join('\n', found));
    }
}
